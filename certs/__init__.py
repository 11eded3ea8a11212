"""Makes the certificates of a cluster: two authorities, members, clients. Stands alone.

    python -m certs --out certs/out --member n1=10.0.0.1,n1.example --member n2=10.0.0.2

In the folder:

    ca.crt peer-ca.crt            who signs for clients and servers, and who signs for peers
    ca.key peer-ca.key            their keys; needed only to make further certificates
    NAME-server.crt/.key          a member towards clients
    NAME-peer.crt/.key            a member towards members
    client.crt/.key               a client, here the user root; further ones are client-NAME.crt

Two authorities, because whoever may read a key must not thereby be able to speak Raft: with one
CA every client certificate would open the peer port.
"""
