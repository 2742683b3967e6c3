"""TODO-verdict"""
