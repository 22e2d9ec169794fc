// Command plugin is the last CNI plugin of the node's chain. It reports each
// pod's addresses to the enforcer (package netpol) and waits until the enforcer
// knows the pod, so that the pod's first packet is judged by its policies.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"egress.scw/hack/local/netpol/attach"
)

// timeout is longer than the enforcer's own wait for the pod, so that the
// enforcer's error is reported.
const timeout = time.Minute

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check}, version.All, "reports pods to the enforcer of NetworkPolicies")
}

// config is the plugin's part of the network's configuration.
type config struct {
	types.PluginConf

	// Socket is the path of the enforcer's socket.
	Socket string `json:"socket"`
}

// pod contains the arguments that container runtimes pass for Kubernetes.
type pod struct {
	types.CommonArgs

	K8S_POD_NAMESPACE types.UnmarshallableString //nolint:revive // the name is the argument's
	K8S_POD_NAME      types.UnmarshallableString //nolint:revive // the name is the argument's
	K8S_POD_UID       types.UnmarshallableString //nolint:revive // the name is the argument's
}

func add(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	attachment, err := attachmentOf(c, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := attach.NewClient(c.Socket).Add(ctx, attachment); err != nil {
		return err
	}
	return types.PrintResult(c.PrevResult, c.CNIVersion)
}

func del(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return attach.NewClient(c.Socket).Remove(ctx, args.ContainerID)
}

// check has no own state to compare: the enforcer may have started again, and
// then reads the pod's addresses from the API.
func check(*skel.CmdArgs) error { return nil }

func parse(stdin []byte) (config, error) {
	var c config
	if err := json.Unmarshal(stdin, &c); err != nil {
		return config{}, fmt.Errorf("network configuration: %w", err)
	}
	if c.Socket == "" {
		return config{}, errors.New("network configuration: socket: the path of the enforcer's socket is missing")
	}
	return c, version.ParsePrevResult(&c.PluginConf)
}

// attachmentOf returns the attachment that the plugins before this one have
// made.
func attachmentOf(c config, args *skel.CmdArgs) (attach.Attachment, error) {
	if c.PrevResult == nil {
		return attach.Attachment{}, errors.New("network configuration: prevResult: missing; this plugin comes behind one that creates the interface")
	}
	result, err := types100.NewResultFromResult(c.PrevResult)
	if err != nil {
		return attach.Attachment{}, err
	}
	var p pod
	if err := types.LoadArgs(args.Args, &p); err != nil {
		return attach.Attachment{}, fmt.Errorf("CNI_ARGS: %w", err)
	}
	attachment := attach.Attachment{
		Container: args.ContainerID,
		Namespace: string(p.K8S_POD_NAMESPACE), Name: string(p.K8S_POD_NAME), UID: string(p.K8S_POD_UID),
	}
	for _, ip := range result.IPs {
		address, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return attach.Attachment{}, fmt.Errorf("network configuration: prevResult: %q is not an address", ip.Address.IP)
		}
		attachment.Addresses = append(attachment.Addresses, address.Unmap())
	}
	return attachment, nil
}
