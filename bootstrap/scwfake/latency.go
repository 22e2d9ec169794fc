package scwfake

import (
	"context"
	"time"
)

// Operation names an operation with a recorded duration.
type Operation string

// The operations with a recorded duration. The duration of an operation whose name
// begins with Post or Delete is the time until the answer. The duration of the
// others is the time from the answer until the resource reaches the state.
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
	GatewayUpgradeFails Operation = "gateway upgrade->configuring"
	GatewayUpgraded     Operation = "gateway upgrade->running"
	GatewayGone         Operation = "gateway delete->404"
	AddressAttached     Operation = "flexible ip attach->attached, server running"
	GatewayNetworkReady Operation = "gateway network create->ready"
	GatewayNetworkGone  Operation = "gateway network delete->404"
	NICOnStoppedServer  Operation = "nic create->available, server stopped"
	NICOnRunningServer  Operation = "nic create->available, server running"
	ServerRunning       Operation = "server poweron->running"
	ServerStopped       Operation = "server poweroff->stopped"
	ServerGone          Operation = "server terminate->404"
	ClusterPoolRequired Operation = "cluster create->pool_required"
	ClusterUpdated      Operation = "cluster change->ready"
	ClusterGone         Operation = "cluster delete->404"
	PoolReady           Operation = "pool create->ready"
	PoolGone            Operation = "pool delete->404"
)

// Latencies returns the recorded median of each operation, unscaled, from which a
// benchmark can compute the critical path. The map belongs to the caller.
//
// The recorded clients polled every five seconds. So a state that was observed at
// 5 s was reached at some time until then.
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
		GatewayUpgradeFails: 300 * ms,
		GatewayUpgraded:     5 * time.Second,
		GatewayGone:         0,
		AddressAttached:     5 * time.Second,
		GatewayNetworkReady: 10 * time.Second,
		GatewayNetworkGone:  5 * time.Second,
		NICOnStoppedServer:  0,
		NICOnRunningServer:  56 * time.Second,
		ServerRunning:       5 * time.Second,
		ServerStopped:       36 * time.Second,
		ServerGone:          5 * time.Second,
		ClusterPoolRequired: 5 * time.Second,
		ClusterUpdated:      130 * ms,
		ClusterGone:         15 * time.Second,
		PoolReady:           157500 * ms,
		PoolGone:            76 * time.Second,
	}
}

// duration returns the duration of an operation in this fake. It is zero without
// latencies.
func (a *API) duration(operation Operation) time.Duration {
	return time.Duration(float64(a.latencies[operation]) * a.options.LatencyScale)
}

// pause sleeps for the duration of the operation. It returns the context's error if
// the context ends first.
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
