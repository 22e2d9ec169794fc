package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// rendered holds the files of a stack, as far as they can be rendered without
// Scaleway.
type rendered struct {
	graph    *stack.Graph
	machines map[string]renderedMachine // by role
	values   []byte
	// notes describe the placeholders, one per line.
	notes []string
}

// renderedMachine holds the files of one machine.
type renderedMachine struct {
	userData, squidConf []byte
}

// render runs the command of this name.
func (p *program) render() error {
	egress, err := readConfig(p.options.config)
	if err := errors.Join(p.options.validate(), err); err != nil {
		return err
	}
	spec := stack.NewSpec(egress, "") // The files do not depend on the project.
	r, err := renderOffline(spec)
	if err != nil {
		return err
	}
	machine, err := r.machine(p.options.machine)
	if err != nil {
		return fmt.Errorf("--machine: %w", err)
	}
	var text []byte
	switch p.options.only {
	case onlyUserData:
		text = r.commented(machine.userData)
	case onlySquidConf:
		text = r.commented(machine.squidConf)
	case onlyValues:
		text = r.commented(r.values)
	default:
		text = r.all(spec)
	}
	_, err = p.stdout.Write(text)
	return err
}

// renderOffline renders all files. Addresses that Scaleway assigns are replaced
// by addresses that are reserved for documentation.
func renderOffline(spec stack.Spec) (rendered, error) {
	var r rendered
	if id := spec.Network.ID; id != "" {
		spec.Network = config.Network{CIDR: assumedNetwork(spec)}
		r.note("%s: the range of the Private Network %s", spec.Network.CIDR, id)
	}
	graph, err := stack.Desired(spec)
	if err != nil {
		return r, err
	}
	r.graph, r.machines = graph, map[string]renderedMachine{}
	r.placeholders(graph, spec.Region)
	if cluster := graph.Cluster; cluster != nil && cluster.Existing {
		r.note("the ranges of the cluster %s are missing from the values", cluster.ID)
	}
	for _, proxy := range graph.Proxies {
		squidConf, err := proxy.SquidConf()
		if err != nil {
			return r, err
		}
		// It must fit into user data.
		if _, err = cloudinit.EncodeSquidConf(squidConf); err != nil {
			return r, err
		}
		r.machines[proxy.Role] = renderedMachine{proxy.Server.CloudInit, squidConf}
	}
	if spec.Proxy.Identity.Sidecars() {
		r.note("the certificate of the proxy, which makes it when it boots, is missing from the values")
		if spec.Proxy.Authority == "" {
			r.note("the authority of the sidecars, which bootstrap reads from the cluster, is missing from squid.conf")
		}
	}
	r.values, err = values(graph, spec, nil)
	return r, err
}

// machine returns the files of the machine with a role, or of the first one without a role.
func (r *rendered) machine(role string) (renderedMachine, error) {
	proxy, err := machineOf(r.graph, role)
	if err != nil {
		return renderedMachine{}, err
	}
	return r.machines[proxy.Role], nil
}

// checkRendering finds errors of rendering, such as more domains than fit into
// user data, before anything is changed.
func checkRendering(t *target) error {
	_, err := renderOffline(t.spec)
	return err
}

// existingNetworkBits is the assumed prefix length of an existing network: the
// length of the ranges that Scaleway assigns.
const existingNetworkBits = 22

// assumedNetwork is the assumed range of an existing network. It contains all machines.
func assumedNetwork(spec stack.Spec) netip.Prefix {
	machines := spec.Machines()
	for bits := existingNetworkBits; ; bits-- {
		network := netip.PrefixFrom(machines[0].PrivateIP, bits).Masked()
		if bits == 0 || !slices.ContainsFunc(machines, func(m config.Machine) bool { return !network.Contains(m.PrivateIP) }) {
			return network
		}
	}
}

func (r *rendered) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// placeholders sets the values that Scaleway would assign.
func (r *rendered) placeholders(graph *stack.Graph, region string) {
	next := netip.MustParseAddr("203.0.113.1")
	take := func(purpose string) netip.Addr {
		address := next
		next = next.Next()
		r.note("%s: %s", address, purpose)
		return address
	}
	for i, proxy := range graph.Proxies {
		of := ""
		if i > 0 {
			of = " on " + proxy.Role
		}
		for _, address := range proxy.Addresses {
			if tenant := address.Tenant(); tenant != "" {
				address.Address = take("the address of " + tenant + of)
			} else {
				address.Address = take("the shared address" + of)
			}
		}
	}
	if graph.Gateway != nil {
		graph.Gateway.Address = take("the Public Gateway's address")
	}
	if graph.SpareIP != nil {
		graph.SpareIP.Address = take("the private address of the machine that serves while the proxy is replaced")
	}
	if graph.Registry != nil {
		graph.Registry.Endpoint = "rg." + region + ".scw.cloud/" + graph.Registry.Name // the form of all endpoints
	}
}

// comment lists the placeholders, in the comment syntax of all three files.
func (r *rendered) comment() string {
	if len(r.notes) == 0 {
		return ""
	}
	return "# bootstrap render: PLACEHOLDERS for values that are only known after apply:\n#   " + strings.Join(r.notes, "\n#   ") + "\n"
}

// commented adds the comment to a file. The first line of user data states its
// type, so it stays the first.
func (r *rendered) commented(file []byte) []byte {
	comment := []byte(r.comment())
	if first, rest, ok := bytes.Cut(file, []byte("\n")); ok && bytes.Equal(first, []byte("#cloud-config")) {
		return slices.Concat(first, []byte("\n"), comment, rest)
	}
	return slices.Concat(comment, file)
}

// all joins all files.
func (r *rendered) all(spec stack.Spec) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# bootstrap render: the files of %s.\n%s", spec.Name, r.comment())
	type part struct {
		name string
		text []byte
	}
	var parts []part
	for i, proxy := range r.graph.Proxies {
		of, flag := "the proxy's", ""
		if i > 0 {
			of, flag = proxy.Role+"'s", " --machine "+proxy.Role
		}
		files := r.machines[proxy.Role]
		parts = append(parts,
			part{of + " user data cloud-init (--only " + onlyUserData + flag + ")", files.userData},
			part{of + " squid.conf (--only " + onlySquidConf + flag + ")", files.squidConf})
	}
	for _, part := range append(parts, part{"the chart's values.yaml (--only " + onlyValues + ")", r.values}) {
		fmt.Fprintf(&text, "\n# %s\n# %s\n# %[1]s\n\n", strings.Repeat("=", 70), part.name)
		text.Write(bytes.TrimRight(part.text, "\n"))
		text.WriteByte('\n')
	}
	return text.Bytes()
}
