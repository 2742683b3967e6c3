"""TODO-expr"""
