// Package capture takes the connections of programs that ignore proxy variables to
// the egress proxy, without privileges.
//
// It is the DNS server of a pod. Names of the cluster are asked of the cluster's DNS.
// Every other name gets an address of 127.128.0.0/9 of its own, on which the package
// listens on the tenant's ports: all of 127.0.0.0/8 is local on Linux. A connection
// to the address becomes a tunnel to the name, which only the proxy resolves. On port
// 80, requests of HTTP/1 are forwarded one by one, so that the proxy sees their URLs.
//
// An address never stands for two names: addresses are given in turn, so that one
// comes again only after all others, and a place in the table is freed only when its
// last answer has expired and its last connection has ended.
package capture
