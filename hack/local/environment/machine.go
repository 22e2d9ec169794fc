package environment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// machineName is the name of the proxy's machine on this machine.
const machineName = "local"

// packagesName is the host name of the package repository for the proxy's
// machine.
const packagesName = "packages.example"

// AuditLog is Squid's audit log: one JSON object per line, one line per
// request.
func (e *Environment) AuditLog() string {
	return filepath.Join(machineConfig(e.Plan).Disk(), cloudinit.AuditLog)
}

// Machine returns the proxy's machine, once it runs.
func (e *Environment) Machine(ctx context.Context) (*machine.VM, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		vm, err := machine.Open(ctx, machineConfig(e.Plan))
		if err == nil {
			return vm, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, fmt.Errorf("the end of the fake Scaleway API's log:\n%s", e.processes.Tail(processScaleway)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// machineConfig is the configuration of the proxy's machine, as far as it is
// known before the machine exists. Its public NIC is on the internet's edge,
// its private NIC on the Private Network.
func machineConfig(plan network.Plan) machine.Config {
	return machine.Config{
		Environment: process.Environment(Dir), Name: machineName, PackagesURL: "http://" + packagesName, Netns: plan.Netns(network.Proxy),
		NICs: []machine.NIC{
			{
				Name: "ens2", MAC: "de:00:00:1c:00:08", Netns: plan.Netns(network.Internet), Bridge: network.Edge,
				DHCP: machine.DHCP{Router: plan.EdgeRouter(), NameServer: plan.Resolver},
			},
			{
				Name: "ens5", Netns: plan.Netns(network.Gateway), Bridge: network.PrivateBridge,
				DHCP: machine.DHCP{Router: plan.GatewayPrivate, Classless: true, NameServer: plan.GatewayPrivate, Upstream: plan.Resolver},
			},
		},
	}
}

// machines boots the servers that the API has powered on: one machine at a
// time, the proxy's.
type machines struct {
	plan   network.Plan
	rootfs machine.RootFS
	log    *slog.Logger
	driver driver
	// api is set before a server exists.
	api *scwfake.API

	mutex sync.Mutex
	// server is the server whose disk the machine has, as the API describes
	// it.
	server scwfake.Machine
}

// driver makes the machines (package machine). Tests replace it.
type driver interface {
	boot(ctx context.Context, config machine.Config) error
	stop(ctx context.Context, config machine.Config) error
	remove(ctx context.Context, config machine.Config) error
}

// nspawn is the real driver.
type nspawn struct{}

func (nspawn) boot(ctx context.Context, config machine.Config) error {
	_, err := machine.Boot(ctx, config)
	return err
}

func (nspawn) stop(ctx context.Context, config machine.Config) error {
	return machine.Stop(ctx, config)
}

func (nspawn) remove(ctx context.Context, config machine.Config) error {
	return machine.Remove(ctx, config)
}

// patience bounds the work for one call: a machine may take half a minute to
// shut down.
const patience = 3 * time.Minute

// PowerOn implements scwfake.Machines. It returns while the machine boots.
// Environment.Machine waits for it.
func (m *machines) PowerOn(server scwfake.Machine) { m.note("power on", m.boot(server)) }

// Changed implements scwfake.Machines. The machine polls for changes by itself.
func (m *machines) Changed(server scwfake.Machine) {
	if server.ID != m.get().ID {
		return // of a server that is not booted
	}
	m.set(server)
	m.note("change", nil)
}

// PowerOff implements scwfake.Machines.
func (m *machines) PowerOff(id string) {
	if id != m.get().ID {
		return // the machine of another server runs, or no machine
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.note("power off", m.driver.stop(ctx, machineConfig(m.plan)))
}

func (m *machines) note(event string, err error) {
	if err != nil {
		m.log.Error("machine: "+event, "error", err)
		return
	}
	m.log.Info("machine: " + event)
}

func (m *machines) get() scwfake.Machine {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.server
}

func (m *machines) set(server scwfake.Machine) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.server = server
}

// boot boots a server, with its previous disk if it has one.
func (m *machines) boot(server scwfake.Machine) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := machineConfig(m.plan)
	config.RootFS = m.rootfs
	// The disk's owner changes only after the old disk was removed. If a
	// step fails here, the next attempt removes the disk.
	if before := m.get(); before.ID != "" && before.ID != server.ID {
		if err := m.driver.remove(ctx, config); err != nil {
			return err
		}
	}
	m.set(server)
	if len(server.PublicIPs) == 0 || len(server.NICs) != 1 || len(server.NICs[0].Addresses) == 0 {
		return fmt.Errorf("server %s has %d public addresses and %d private NICs, want a public address and one private NIC with an address: it would reach neither the metadata service nor its network", server.ID, len(server.PublicIPs), len(server.NICs))
	}
	public, private := &config.NICs[0], &config.NICs[1]
	public.DHCP.Address = netip.PrefixFrom(server.PublicIPs[0], server.PublicIPs[0].BitLen())
	private.MAC, private.DHCP.Address = server.NICs[0].MAC, server.NICs[0].Addresses[0]
	return m.driver.boot(ctx, config)
}

// serve answers the machine's requests in the internet: the metadata service
// and the package repository.
func (m *machines) serve(ctx context.Context) error {
	metadata := machine.Metadata{Machine: m.get, Gateway: m.plan.EdgeRouter(), SetUserData: func(key string, value []byte) error {
		return m.api.SetUserData(m.get().ID, key, value)
	}}
	for address, handler := range map[netip.Addr]http.Handler{
		m.plan.Metadata: metadata.Handler(),
		m.plan.Packages: machine.Repository(m.rootfs),
	} {
		var listener net.Listener
		if err := machine.Within(m.plan.Netns(network.Internet), func() (err error) {
			listener, err = new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(address, 80).String())
			return err
		}); err != nil {
			return err
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				m.note("answering on "+address.String(), err)
			}
		}()
	}
	return nil
}
