// Package endpoint serves HTTP to clients that are not authenticated, in a bounded
// amount of memory.
//
// Every pod of the cluster can connect to the webhook, and a managed API server
// connects from addresses that are not known, so that neither a certificate nor an
// address tells the API server from other clients. Therefore every step of a
// request has a timeout, and the number of connections is bounded. At the bound, a
// further connection takes the place of one that waits for its client, of the
// client address with the most of them. A request that has arrived completely
// always gets its answer.
package endpoint
