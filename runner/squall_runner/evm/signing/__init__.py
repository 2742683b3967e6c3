"""Keys and what they sign: transactions, messages, and ciphertexts.

Nothing here does I/O. From the bottom:

    hexes, keccak, rlp     the encodings that everything else stands on
    keys, transactions     accounts, and what they sign to be mined
    messages, typeddata    what accounts sign to be recognised (EIP-191, EIP-712)
    encryption             for a wallet, a password, or somebody's public key
"""
