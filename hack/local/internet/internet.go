// Package internet is the internet of the local environment: names, an IP echo,
// and services like httpbin.org, over HTTP and HTTPS, on addresses that look
// public. It answers every client that reaches it and logs each connection, so
// that a missing block shows as a success.
//
// It runs in a prepared network namespace: addresses assigned, routes set,
// CounterRuleset loaded.
package internet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// shutdownTimeout bounds the time for which requests may continue when the
// internet stops.
const shutdownTimeout = 2 * time.Second

// Config describes an internet: its addresses, names and certificates.
type Config struct {
	// Zone are the names that exist, with their addresses.
	Zone Zone
	// Rebinding are names, none of them in Zone, whose address changes with
	// each query: an answer has one of their addresses of the queried
	// family, the next answer has the next. The answers must not be cached.
	Rebinding Zone
	// Pointers are the host names in PTR records, by address. They may be
	// false.
	Pointers map[netip.Addr]string
	// NameServers answer DNS queries, each over UDP and TCP.
	NameServers []netip.AddrPort
	// HTTP and HTTPS are the addresses of the echo services.
	HTTP, HTTPS []netip.AddrPort
	// Certificates are the certificates of the HTTPS servers. They are not
	// read if HTTPS is empty.
	Certificates Certificates
	// Control is the path of the Unix socket on which programs of the
	// machine, in any network namespace, query the internet's state
	// (Client). It appears after all other listeners are open.
	Control string
	// Events receives a line with a JSON object (Event) for each
	// connection, request and query.
	Events io.Writer
}

// Serve opens all listeners and answers until the context is done. Then it
// returns nil. If a listener cannot be opened, or stops by itself, Serve stops
// the others and returns an error that names the listener.
func Serve(ctx context.Context, config Config) error {
	names, err := newNames(config)
	if err != nil {
		return err
	}
	events := &eventLog{out: config.Events}
	services, err := open(ctx, config, names, events)
	if err != nil {
		return errors.Join(err, closeAll(services))
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		group.Go(func() error { return s.run(ctx) })
	}
	return group.Wait()
}

// service is a listener with its server.
type service struct {
	name string
	// listener is closed by shutdown as well.
	listener io.Closer
	// serve answers until shutdown or close ends it.
	serve func() error
	// shutdown waits for requests in progress, close does not.
	shutdown func(context.Context) error
	close    func() error
}

// run serves until the context is done.
func (s service) run(ctx context.Context) error {
	var err error
	stopped := make(chan struct{})
	go func() {
		err = s.serve()
		close(stopped)
	}()
	select {
	case <-stopped:
		return fmt.Errorf("%s stopped by itself: %w", s.name, cmp.Or(err, errors.New("without an error")))
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.shutdown(grace) != nil {
		// It is not our error that a client keeps its connection open.
		if err := s.close(); err != nil {
			return fmt.Errorf("stopping %s: %w", s.name, err)
		}
	}
	<-stopped
	return nil
}

// closeAll closes services that were opened but not started.
func closeAll(services []service) error {
	var errs []error
	for _, s := range services {
		errs = append(errs, s.listener.Close())
	}
	return errors.Join(errs...)
}

// open opens all listeners, the control socket last. On an error it returns the
// services that it has opened so far.
func open(ctx context.Context, config Config, names *names, events *eventLog) ([]service, error) {
	var services []service
	for _, address := range config.NameServers {
		opened, err := openNameServer(ctx, address, names, events)
		services = append(services, opened...)
		if err != nil {
			return services, err
		}
	}
	var encryption *tls.Config
	if len(config.HTTPS) > 0 {
		certificate, err := tls.LoadX509KeyPair(config.Certificates.Certificate, config.Certificates.Key)
		if err != nil {
			return services, fmt.Errorf("the certificate for HTTPS: %w", err)
		}
		encryption = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	for _, group := range []struct {
		protocol   string
		addresses  []netip.AddrPort
		encryption *tls.Config
		handler    http.Handler
	}{
		{web, config.HTTP, nil, echoHandler()},
		{secure, config.HTTPS, encryption, echoHandler()},
	} {
		for _, address := range group.addresses {
			opened, err := openWeb(ctx, group.protocol, address, group.encryption, group.handler, events)
			if err != nil {
				return services, err
			}
			services = append(services, opened)
		}
	}
	control, err := openControl(ctx, config.Control)
	if err != nil {
		return services, err
	}
	return append(services, control), nil
}

// openWeb opens a listener for HTTP, or for HTTPS if there is a TLS
// configuration.
func openWeb(ctx context.Context, protocol string, address netip.AddrPort, encryption *tls.Config, handler http.Handler, events *eventLog) (service, error) {
	name := protocol + " on " + address.String()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address.String())
	if err != nil {
		return service{}, fmt.Errorf("%s: %w", name, err)
	}
	server := &http.Server{
		Handler: events.requests(protocol, handler),
		// Clients on a busy machine are slow, and tests keep tunnels open while they wait.
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       10 * time.Minute,
	}
	if encryption == nil {
		return webService(name, server, events.connections(protocol, listener)), nil
	}
	server.TLSConfig = encryption.Clone() // the server completes it
	result := webService(name, server, listener)
	result.serve = func() error { return server.ServeTLS(events.connections(protocol, listener), "", "") }
	return result, nil
}

func webService(name string, server *http.Server, listener net.Listener) service {
	return service{
		name:     name,
		listener: listener,
		serve:    func() error { return server.Serve(listener) },
		shutdown: server.Shutdown,
		close:    server.Close,
	}
}
