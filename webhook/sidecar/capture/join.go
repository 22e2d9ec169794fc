package capture

import (
	"context"
	"sync"
)

// join copies between a program and a tunnel until both directions have ended, each by
// its own end. An error of one direction ends both, and resets the connection of the
// program, as does the end of the context. Both are closed when it returns.
func join(ctx context.Context, conn *connection, stream Stream) {
	abort := sync.OnceFunc(func() {
		conn.reset()
		_ = stream.Close()
	})
	stop := context.AfterFunc(ctx, abort)
	defer stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := stream.ReadFrom(conn.TCPConn); err != nil || stream.CloseWrite() != nil {
			abort()
		}
	}()
	if _, err := stream.WriteTo(conn.TCPConn); err != nil || conn.CloseWrite() != nil {
		abort()
	}
	<-sent
	_ = stream.Close()
	_ = conn.Close()
}
