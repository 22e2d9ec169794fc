// The sidecar carries the traffic of a pod to the egress proxy, with a certificate
// that identifies the tenant.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"

	"egress.scw/webhook/api/names"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

const help = `The sidecar carries the traffic of a pod to the egress proxy: an HTTP proxy on the
pod's loopback address, which identifies the tenant to the proxy machines by a
certificate.

Usage:
  sidecar run [flags]    serve the pod until SIGTERM, then until its tunnels have ended
  sidecar check [flags]  succeed if the sidecar of this pod listens, and print its state
  sidecar version        print the version

Flags:
  --config FOLDER   of run: the folder of the Secret egress-sidecar (%s)
  --listen ADDRESS  the address of the HTTP proxy, a loopback address (%s)
  --dns ADDRESS     of run: the address of the DNS server, if names are captured (%s)
  --metrics ADDRESS of run: the address for metrics (POD_IP:%d)

Environment of run, set by the downward API: %s, %s, %s.
%s has the ports of the pod's own programs, on which names are not captured.

What to do next: "kubectl logs POD -c egress-sidecar" has a line for each refused
request, with its reason and its cure.
`

// relayAddress is the address of the HTTP proxy.
var relayAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(names.RelayPort))

// dnsAddress is the address of the DNS server, the nameserver of pods whose names are
// captured.
const dnsAddress = "127.0.0.1:53"

// errUsage: the arguments are not valid.
var errUsage = errors.New(`see "sidecar help"`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal restores the default handling: a second one ends the process
	// at once.
	context.AfterFunc(ctx, stop)
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sidecar:", err)
		os.Exit(1)
	}
}

// command runs a subcommand.
func command(ctx context.Context, args []string, output io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("a command is missing: %w", errUsage)
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "--help", "-h":
		_, err := fmt.Fprintf(output, help, names.SidecarFolder, relayAddress, dnsAddress, names.SidecarMetricsPort,
			names.EnvPodNamespace, names.EnvPodName, names.EnvPodIP, names.EnvPodPorts)
		return err
	case "version", "--version":
		_, err := fmt.Fprintln(output, buildVersion())
		return err
	case "run":
		flags := newFlags(name)
		folder := flags.String("config", names.SidecarFolder, "")
		listen := flags.String("listen", relayAddress, "")
		dns := flags.String("dns", dnsAddress, "")
		metrics := flags.String("metrics", "", "")
		if err := parse(flags, args); err != nil {
			return err
		}
		return run(ctx, options{folder: *folder, listen: *listen, dns: *dns, metrics: *metrics}, os.Stderr)
	case "check":
		flags := newFlags(name)
		listen := flags.String("listen", relayAddress, "")
		if err := parse(flags, args); err != nil {
			return err
		}
		return check(ctx, *listen, output)
	}
	return fmt.Errorf("there is no command %q: %w", name, errUsage)
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is returned
	return flags
}

func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", flags.Name(), err, errUsage)
	}
	return nil
}

// buildVersion returns the linker's version, or else the version that Go recorded for
// the module.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
