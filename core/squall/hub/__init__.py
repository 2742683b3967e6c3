"""TODO-hub"""
