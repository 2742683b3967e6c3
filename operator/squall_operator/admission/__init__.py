"""The validating webhook: what is wrong with a LoadTest is told to whoever applies it, and what nobody may run is not stored.

references.py, review.py, room.py   what is judged, pure
certificate.py                      generations of the webhook's certificate, pure
desk.py                             what has to be asked of the API server to judge
server.py, webhook.py               the HTTPS endpoint, and its parts put together
keeper.py                           the certificate on the cluster, shared by all replicas
"""
