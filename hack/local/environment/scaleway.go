package environment

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
	"egress.scw/webhook/api/v1alpha1"
)

// bootPatience bounds the time for which a machine boots and becomes a proxy.
const bootPatience = 10 * time.Minute

var errNotBooted = errors.New("not after 10 minutes")

const (
	processScaleway = "scaleway"
	scalewayURL     = "http://127.0.0.1:8089"

	// Environment variables that Scaleway's tools read.
	variableURL     = "SCW_API_URL"
	variableAccess  = "SCW_ACCESS_KEY"
	variableSecret  = "SCW_SECRET_KEY" //nolint:gosec // the variable's name, not a secret
	variableProject = "SCW_DEFAULT_PROJECT_ID"
)

//go:embed egress.yaml
var egressYAML []byte

// ConfigFile is the egress.yaml that bootstrap applied to the environment.
func (e *Environment) ConfigFile() string { return filepath.Join(Dir, "egress.yaml") }

// Kubeconfig and valuesFile are files that bootstrap has written.
func (e *Environment) Kubeconfig() string { return filepath.Join(Dir, "kubeconfig.yaml") }

func (e *Environment) valuesFile() string { return filepath.Join(Dir, "values.yaml") }

// Tenants are the tenants in the environment's egress.yaml.
func (e *Environment) Tenants() ([]v1alpha1.Tenant, error) {
	data, err := os.ReadFile(e.ConfigFile())
	if err != nil {
		return nil, err
	}
	egress, err := config.Load(e.ConfigFile(), data)
	if err != nil {
		return nil, err
	}
	return egress.Spec.Tenants, nil
}

// EgressAddress is the egress address of a tenant, as bootstrap has written it
// into the chart's values.
func (e *Environment) EgressAddress(tenant string) (netip.Addr, error) {
	data, err := os.ReadFile(e.valuesFile())
	if err != nil {
		return netip.Addr{}, err
	}
	var values struct {
		Proxy struct {
			EgressAddresses struct {
				Shared    []netip.Addr            `json:"shared"`
				Dedicated map[string][]netip.Addr `json:"dedicated"`
			} `json:"egressAddresses"`
		} `json:"proxy"`
	}
	if err := yaml.Unmarshal(data, &values); err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", e.valuesFile(), err)
	}
	addresses, ok := values.Proxy.EgressAddresses.Dedicated[tenant]
	if !ok {
		addresses = values.Proxy.EgressAddresses.Shared
	}
	if len(addresses) != 1 {
		return netip.Addr{}, fmt.Errorf("%s: %d addresses of %s, want one", e.valuesFile(), len(addresses), tenant)
	}
	return addresses[0], nil
}

// credentialsFile contains the environment variables of Scaleway's tools, for
// interactive shells too. The key is a secret: with it the fake API returns the
// kubeconfig of the cluster's administrator.
const credentialsFile = Dir + "/scaleway.env"

func writeCredentials() error {
	return os.WriteFile(credentialsFile, fmt.Appendf(nil,
		"export %s=%s\nexport %s=SCWLOCALENVIRONMENT0\nexport %s=%s\nexport %s=%s\n",
		variableURL, scalewayURL, variableAccess, variableSecret, uuid.NewUUID(), variableProject, scwfake.DefaultProjectID), 0o600)
}

// credentials are the variables in that file.
func credentials() ([]string, error) {
	text, err := os.ReadFile(credentialsFile)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), "export ", "")), "\n"), nil
}

// Scaleway is a client of the fake Scaleway API, for the zone in egress.yaml.
func (e *Environment) Scaleway() (*scw.Client, error) {
	variables, err := credentials()
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	return scw.NewClient(scw.WithAPIURL(values[variableURL]), scw.WithAuth(values[variableAccess], values[variableSecret]),
		scw.WithDefaultProjectID(values[variableProject]), scw.WithDefaultZone(scw.ZoneFrPar1))
}

// startScaleway starts the fake Scaleway API on this machine's loopback, and
// waits until it answers.
func (e *Environment) startScaleway(ctx context.Context) error {
	if err := os.WriteFile(e.ConfigFile(), egressYAML, 0o644); err != nil {
		return err
	}
	if err := writeCredentials(); err != nil {
		return err
	}
	variables, err := credentials()
	if err != nil {
		return err
	}
	p, err := e.processes.Start(process.Command{
		Name: processScaleway, Path: e.binaries.local, Args: []string{processScaleway, e.rootfs.Root, e.rootfs.Packages}, Env: variables,
	})
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := get(ctx, scalewayURL+"/metadata")
		if !p.Alive() { // another program may be answering
			return fmt.Errorf("the fake Scaleway API has ended; the end of its log:\n%s", e.processes.Tail(processScaleway))
		}
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

// ServeScaleway is the main function of the fake Scaleway API's process. It
// boots the proxy's machines. The cluster is the environment's. Everything else
// exists in the API only: the networks were made before (hack/local/network).
func ServeScaleway(ctx context.Context, rootfs machine.RootFS) error {
	if err := rootfs.Hold(); err != nil {
		return err
	}
	plan := network.DefaultPlan()
	machines := &machines{plan: plan, rootfs: rootfs, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), driver: nspawn{}}
	if err := machines.serve(ctx); err != nil {
		return err
	}
	address, err := url.Parse(os.Getenv(variableURL))
	if err != nil {
		return err
	}
	api := scwfake.New(scwfake.Options{
		Token:       os.Getenv(variableSecret),
		FlexibleIPs: plan.ProxyPublic,
		GatewayIPs:  netip.PrefixFrom(plan.GatewayPublic, plan.GatewayPublic.BitLen()),
		Machines:    machines,
		Kubeconfig: func(string, string) ([]byte, error) {
			return os.ReadFile(cluster.Open(cluster.Config{Environment: process.Environment(Dir)}).Kubeconfig("admin"))
		},
		Log: os.Stderr,
	})
	machines.api = api
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address.Host)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Bootstrap runs the product's bootstrap with the fake Scaleway API, and
// returns its output. The error contains its exit code (exec.ExitError) and its
// error output.
func (e *Environment) Bootstrap(ctx context.Context, args ...string) (string, error) {
	cmd, err := e.BootstrapCommand(ctx, args...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("bootstrap %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// BootstrapCommand returns bootstrap with the credentials of the fake API, and access to
// the cluster, as a command that is not started.
func (e *Environment) BootstrapCommand(ctx context.Context, args ...string) (*exec.Cmd, error) {
	variables, err := credentials()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, e.binaries.bootstrap, args...)
	// Not the user's environment: neither a profile nor a configuration
	// file.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + Dir, "KUBECONFIG=" + e.Kubeconfig()}, variables...)
	return cmd, nil
}

// apply lets bootstrap apply egress.yaml.
func (e *Environment) apply(ctx context.Context, flags ...string) error {
	_, err := e.Bootstrap(ctx, append([]string{"apply", "--yes", "--config", e.ConfigFile()}, flags...)...)
	return err
}

// waitBooted waits until the proxy's machine has booted, which takes half a minute on an
// idle machine.
func (e *Environment) waitBooted(ctx context.Context) error {
	vm, err := e.Machine(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bootPatience, errNotBooted)
	defer cancel()
	return vm.Wait(ctx)
}

// waitServing waits until every tenant's port answers, and lets bootstrap complete the
// values for the chart: the machine reports the certificate that sidecars trust.
func (e *Environment) waitServing(ctx context.Context) error {
	tenants, err := e.Tenants()
	if err != nil {
		return err
	}
	booting, cancel := context.WithTimeoutCause(ctx, bootPatience, errNotBooted)
	defer cancel()
	for _, tenant := range tenants {
		address := net.JoinHostPort(e.Plan.ProxyPrivate.String(), strconv.Itoa(int(tenant.Proxy.Port)))
		if err := e.waitListening(booting, e.Plan.Netns(network.Node), address); err != nil {
			return fmt.Errorf("the proxy does not listen on %s: %w; the end of the fake Scaleway API's log:\n%s", address, err, e.processes.Tail(processScaleway))
		}
	}
	return e.apply(ctx)
}

// waitListening waits until a server accepts connections at a TCP address, as
// seen from a network namespace.
func (e *Environment) waitListening(ctx context.Context, namespace, address string) error {
	for {
		dial := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+namespace, e.binaries.probe, "dial", "tcp", address)
		if dial.Run() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond): // the machine boots on the same cores
		}
	}
}
