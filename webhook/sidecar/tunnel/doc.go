// Package tunnel opens tunnels through a proxy as streams of one HTTP/2 connection
// (RFC 9113, CONNECT).
//
// net/http's own client is not used: it holds 16 KiB for each stream while the
// stream is idle, and two goroutines more. Here an idle stream holds no buffer, and
// data that arrives is written to the client by the goroutine that has read it.
package tunnel
