package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"

	"egress.scw/hack/local/netpol/attach"
)

const (
	// network is the configuration that containerd passes: the plugin's entry
	// of the list, with the list's name and version.
	network = `{"cniVersion": "1.0.0", "name": "egress-local", "type": "egress-netpol", "socket": "/s"`
	// ptp is a result of the plugin ptp.
	ptp = `{"cniVersion": "1.0.0",
		"interfaces": [{"name": "vethab12", "mac": "aa:bb:cc:00:00:01"}, {"name": "eth0", "mac": "aa:bb:cc:00:00:02", "sandbox": "/run/netns/cni-1"}],
		"ips": [{"interface": 1, "address": "10.244.0.7/24", "gateway": "10.244.0.1"}], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}}`
	// containerdArgs are the arguments of containerd 1.6.
	containerdArgs = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c0ffee;K8S_POD_UID=11-22"
)

func TestAttachment(t *testing.T) {
	c, err := parse([]byte(network + `, "prevResult": ` + ptp + `}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := attachmentOf(c, &skel.CmdArgs{ContainerID: "c0ffee", Args: containerdArgs})
	if err != nil {
		t.Fatal(err)
	}
	want := attach.Attachment{
		Container: "c0ffee", Namespace: "team-a", Name: "web-0", UID: "11-22",
		Addresses: []netip.Addr{netip.MustParseAddr("10.244.0.7")},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for name, test := range map[string]struct{ stdin, args, want string }{
		"no socket":      {`{"cniVersion": "1.0.0", "name": "n", "type": "t"}`, containerdArgs, "socket"},
		"first in chain": {network + `}`, containerdArgs, "prevResult"},
		"no JSON":        {`{`, containerdArgs, "network configuration"},
		"odd arguments":  {network + `, "prevResult": ` + ptp + `}`, "K8S_POD_NAME", "CNI_ARGS"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse([]byte(test.stdin))
			if err == nil {
				_, err = attachmentOf(c, &skel.CmdArgs{ContainerID: "c0ffee", Args: test.args})
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want an error that contains %q", err, test.want)
			}
		})
	}
}
