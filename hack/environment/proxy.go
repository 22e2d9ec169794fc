package environment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"egress.scw/cloudinit/squid"
	"egress.scw/hack/network"
	"egress.scw/hack/process"
	"egress.scw/webhook/api/v1alpha1"
)

// Tenants are the environment's customers.
func Tenants() []v1alpha1.Tenant {
	return []v1alpha1.Tenant{
		{Name: "client-a", EgressTenantSpec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: v1alpha1.ProxySpec{Port: 3129}}},
		{Name: "client-b", EgressTenantSpec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: v1alpha1.ProxySpec{Port: 3130}}},
	}
}

const processProxy = "squid"

// AuditLog is the file in which Squid notes every request, a JSON object a line.
func (e *Environment) AuditLog() string { return filepath.Join(Dir, "proxy", "audit.log") }

// startProxy runs Squid in the proxy's network namespace and waits until every
// tenant's port answers.
func (e *Environment) startProxy(ctx context.Context, tenants []v1alpha1.Tenant) error {
	dir := filepath.Dir(e.AuditLog())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Squid gives up root before it opens its logs.
	if err := giveTo(dir, "proxy"); err != nil {
		return err
	}
	conf, err := squid.Render(squid.Proxy{
		ListenAddress:  e.Plan.ProxyPrivate,
		ManagerPort:    3128,
		ClientNetworks: []netip.Prefix{e.Plan.PrivateNetwork},
		EgressAddress:  e.Plan.ProxyPublic,
		NameServers:    []netip.Addr{e.Plan.Resolver},
		AuditLog:       e.AuditLog(),
		CacheLog:       filepath.Join(dir, "cache.log"),
		PIDFile:        filepath.Join(dir, "squid.pid"),
	}, tenants)
	if err != nil {
		return err
	}
	file := filepath.Join(Dir, "squid.conf")
	if err := os.WriteFile(file, conf, 0o644); err != nil {
		return err
	}
	p, err := e.processes.Start(process.Command{
		Name: processProxy, Path: "/usr/sbin/squid", Netns: network.Proxy,
		Args: []string{"--foreground", "-n", "egresslocal", "-f", file},
	})
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		address := net.JoinHostPort(e.Plan.ProxyPrivate.String(), strconv.Itoa(int(tenant.Proxy.Port)))
		if err := e.waitListening(ctx, p, network.Node, address); err != nil {
			return fmt.Errorf("squid does not listen on %s: %w; the end of its log:\n%s", address, err, e.processes.Tail(processProxy))
		}
	}
	return nil
}

// waitListening waits until a process answers at a TCP address, as seen from a
// namespace.
func (e *Environment) waitListening(ctx context.Context, p process.Process, namespace, address string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("nothing after 30 s"))
	defer cancel()
	for {
		dial := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+namespace, e.programs.probe, "dial", "tcp", address)
		if dial.Run() == nil {
			return nil
		}
		if !p.Alive() {
			return errors.New("it has ended")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func giveTo(path, name string) error {
	account, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}
