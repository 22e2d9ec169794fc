package environment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
)

// machines boots the servers that the API has powered on, each in a place of its own.
type machines struct {
	plan   network.Plan
	rootfs machine.RootFS
	log    *slog.Logger
	driver driver
	// api is set before a server exists.
	api serverAPI

	mutex sync.Mutex
	// servers are the servers whose disks the machines have, by place, as the API
	// describes them. A place without a disk has the zero value.
	servers [places]scwfake.Machine
}

// serverAPI is the part of the API that the machines use. Tests replace it.
type serverAPI interface {
	SetUserData(server, key string, value []byte) error
	Inventory() []scwfake.Item
}

// driver makes the machines (package machine). Tests replace it.
type driver interface {
	boot(ctx context.Context, config machine.Config) error
	stop(ctx context.Context, config machine.Config) error
	remove(ctx context.Context, config machine.Config) error
	route(ctx context.Context, config machine.Config, address netip.Addr) error
	withdraw(ctx context.Context, config machine.Config, address netip.Addr) error
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

func (nspawn) route(ctx context.Context, config machine.Config, address netip.Addr) error {
	return machine.Route(ctx, config, address)
}

func (nspawn) withdraw(ctx context.Context, config machine.Config, address netip.Addr) error {
	return machine.Withdraw(ctx, config, address)
}

// patience bounds the work for one call: a machine may take half a minute to
// shut down.
const patience = 3 * time.Minute

// PowerOn implements scwfake.Machines. It returns while the machine boots.
// Environment.MachineOf waits for it.
func (m *machines) PowerOn(server scwfake.Machine) { m.note("power on", server.Name, m.boot(server)) }

// Changed implements scwfake.Machines. The machine polls for changes by itself.
func (m *machines) Changed(server scwfake.Machine) {
	place := m.find(func(s scwfake.Machine) bool { return s.ID == server.ID })
	if place == 0 {
		return // of a server that is not booted
	}
	before := m.get(place).PublicIPs
	m.set(place, server)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.note("change", server.Name, errors.Join(m.withdraw(ctx, place, before), m.route(ctx, place)))
}

// PowerOff implements scwfake.Machines.
func (m *machines) PowerOff(id string) {
	place := m.find(func(s scwfake.Machine) bool { return s.ID == id })
	if place == 0 {
		return // the machine of another server runs, or no machine
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.note("power off", m.get(place).Name, m.driver.stop(ctx, machineConfig(m.plan, place)))
}

func (m *machines) note(event, server string, err error) {
	if err != nil {
		m.log.Error("machine: "+event, "server", server, "error", err)
		return
	}
	m.log.Info("machine: "+event, "server", server)
}

func (m *machines) get(place int) scwfake.Machine {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.servers[place-1]
}

func (m *machines) set(place int, server scwfake.Machine) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.servers[place-1] = server
}

// find returns the place of the first server that matches, or 0.
func (m *machines) find(matches func(scwfake.Machine) bool) int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.IndexFunc(m.servers[:], matches) + 1
}

// route leads the public addresses of a place's server to its machine.
func (m *machines) route(ctx context.Context, place int) error {
	var errs []error
	for _, address := range m.get(place).PublicIPs {
		errs = append(errs, m.driver.route(ctx, machineConfig(m.plan, place), address))
	}
	return errors.Join(errs...)
}

// withdraw leads those of the addresses to no machine that a place's server had, and that no
// server has.
func (m *machines) withdraw(ctx context.Context, place int, before []netip.Addr) error {
	var errs []error
	for _, address := range before {
		if m.find(func(s scwfake.Machine) bool { return slices.Contains(s.PublicIPs, address) }) == 0 {
			errs = append(errs, m.driver.withdraw(ctx, machineConfig(m.plan, place), address))
		}
	}
	return errors.Join(errs...)
}

// exists reports whether the API has a server.
func (m *machines) exists(id string) bool {
	return slices.ContainsFunc(m.api.Inventory(), func(i scwfake.Item) bool { return i.Kind == "server" && i.ID == id })
}

// placeOf returns the place in which a server boots: that of its disk, or else that of
// the server that it replaces, which has the same name, or else an empty one, or that of
// a server that was deleted.
func (m *machines) placeOf(server scwfake.Machine) (int, error) {
	for _, matches := range []func(scwfake.Machine) bool{
		func(s scwfake.Machine) bool { return s.ID == server.ID },
		func(s scwfake.Machine) bool { return s.ID != "" && s.Name == server.Name },
		func(s scwfake.Machine) bool { return s.ID == "" },
		func(s scwfake.Machine) bool { return !m.exists(s.ID) },
	} {
		if place := m.find(matches); place > 0 {
			return place, nil
		}
	}
	return 0, fmt.Errorf("the local environment has room for %d proxy machines: let spec.proxy.replicas be at most %d", places, places)
}

// boot boots a server, with its previous disk if it has one.
func (m *machines) boot(server scwfake.Machine) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	place, err := m.placeOf(server)
	if err != nil {
		return err
	}
	config := machineConfig(m.plan, place)
	config.RootFS = m.rootfs
	// The disk's owner changes only after the old disk was removed. If a
	// step fails here, the next attempt removes the disk.
	if before := m.get(place); before.ID != "" && before.ID != server.ID {
		if err := m.driver.remove(ctx, config); err != nil {
			return err
		}
	}
	m.set(place, server)
	if len(server.PublicIPs) == 0 || len(server.NICs) != 1 || len(server.NICs[0].Addresses) == 0 {
		return fmt.Errorf("server %s has %d public addresses and %d private NICs, want a public address and one private NIC with an address: it would reach neither the metadata service nor its network", server.ID, len(server.PublicIPs), len(server.NICs))
	}
	if err := m.route(ctx, place); err != nil {
		return err
	}
	public, private := &config.NICs[0], &config.NICs[1]
	public.DHCP.Address = netip.PrefixFrom(server.PublicIPs[0], server.PublicIPs[0].BitLen())
	private.MAC, private.DHCP.Address = server.NICs[0].MAC, server.NICs[0].Addresses[0]
	return m.driver.boot(ctx, config)
}

// metadata is the metadata service. It recognizes a machine by the source address of the
// request.
func (m *machines) metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		place := m.find(func(s scwfake.Machine) bool { return err == nil && slices.Contains(s.PublicIPs, from.Addr()) })
		if place == 0 {
			http.Error(w, "no server has the address "+r.RemoteAddr, http.StatusForbidden)
			return
		}
		machine.Metadata{
			Machine: func() scwfake.Machine { return m.get(place) }, Gateway: m.plan.EdgeRouter(),
			SetUserData: func(key string, value []byte) error { return m.api.SetUserData(m.get(place).ID, key, value) },
		}.Handler().ServeHTTP(w, r)
	})
}

// serve answers the machines' requests in the internet: the metadata service
// and the package repository.
func (m *machines) serve(ctx context.Context) error {
	for address, handler := range map[netip.Addr]http.Handler{
		m.plan.Metadata: m.metadata(),
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
				m.note("answering on "+address.String(), "", err)
			}
		}()
	}
	return nil
}
