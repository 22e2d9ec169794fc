package scwfake

import (
	"context"
	"time"
)

// Operation names something that takes Scaleway time.
type Operation string

// The operations with a recorded duration. Those that start with Post or
// Delete are how long one request takes to be answered; the others how long a
// resource takes to get somewhere once the request has been answered.
const (
	PostVPC            Operation = "POST vpcs"
	PostPrivateNetwork Operation = "POST private-networks"
	PostGatewayIP      Operation = "POST gateway ips"
	PostIPAMIP         Operation = "POST ipam ips"
	PostServer         Operation = "POST servers"
	PostSecurityGroup  Operation = "POST security_groups"
	PostFlexibleIP     Operation = "POST flexible ips"
	PostNamespace      Operation = "POST namespaces"

	DeletePrivateNetwork Operation = "DELETE private-networks"

	GatewayRunning      Operation = "gateway create->running"
	GatewayGone         Operation = "gateway delete->404"
	GatewayNetworkReady Operation = "gateway network create->ready"
	GatewayNetworkGone  Operation = "gateway network delete->404"
	NICOnStoppedServer  Operation = "nic create->available, server stopped"
	NICOnRunningServer  Operation = "nic create->available, server running"
	ServerRunning       Operation = "server poweron->running"
	ServerStopped       Operation = "server poweroff->stopped"
	ServerGone          Operation = "server terminate->404"
	ClusterPoolRequired Operation = "cluster create->pool_required"
	ClusterGone         Operation = "cluster delete->404"
	PoolReady           Operation = "pool create->ready"
	PoolGone            Operation = "pool delete->404"
)

// Latencies returns the recorded median of each operation, unscaled: what a
// benchmark needs to compute the critical path. The map is the caller's.
//
// The recordings are of clients that asked every five seconds, so a state that
// was reached "at 5 s" was reached at some time until then.
func Latencies() map[Operation]time.Duration {
	const ms = time.Millisecond
	return map[Operation]time.Duration{
		PostVPC:            100 * ms,
		PostPrivateNetwork: 700 * ms,
		PostGatewayIP:      900 * ms,
		PostIPAMIP:         300 * ms,
		PostServer:         600 * ms,
		PostSecurityGroup:  300 * ms,
		PostFlexibleIP:     400 * ms,
		PostNamespace:      0,

		DeletePrivateNetwork: 1600 * ms,

		GatewayRunning:      5 * time.Second,
		GatewayGone:         0,
		GatewayNetworkReady: 10 * time.Second,
		GatewayNetworkGone:  5 * time.Second,
		NICOnStoppedServer:  0,
		NICOnRunningServer:  56 * time.Second,
		ServerRunning:       5 * time.Second,
		ServerStopped:       36 * time.Second,
		ServerGone:          5 * time.Second,
		ClusterPoolRequired: 5 * time.Second,
		ClusterGone:         15 * time.Second,
		PoolReady:           157500 * ms,
		PoolGone:            76 * time.Second,
	}
}

// duration is how long the operation takes here; zero if latencies are off.
func (a *API) duration(operation Operation) time.Duration {
	return time.Duration(float64(a.latencies[operation]) * a.options.LatencyScale)
}

// pause sleeps for as long as the operation takes. It returns the context's
// error if that ends first.
func (a *API) pause(ctx context.Context, operation Operation) error {
	duration := a.duration(operation)
	if duration <= 0 {
		return nil
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
