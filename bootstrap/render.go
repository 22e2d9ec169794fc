package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// rendered is what a configuration stands for, as far as that can be told
// without asking Scaleway.
type rendered struct {
	userData, squidConf, values []byte
	// notes say what stands in the place of something else, one on a line.
	notes []string
}

// render is the command.
func (p *program) render() error {
	config, err := readConfig(p.options.config)
	if err := errors.Join(p.options.validate(), err); err != nil {
		return err
	}
	// Whose project it is makes no difference to the files.
	spec, err := stack.NewSpec(config, "")
	if err != nil {
		return err
	}
	r, err := renderOffline(spec)
	if err != nil {
		return err
	}
	var text []byte
	switch p.options.only {
	case onlyUserData:
		text = r.commented(r.userData)
	case onlySquidConf:
		text = r.commented(r.squidConf)
	case onlyValues:
		text = r.commented(r.values)
	default:
		text = r.all(spec)
	}
	_, err = p.stdout.Write(text)
	return err
}

// renderOffline renders everything, with addresses that are reserved for
// documentation where Scaleway decides.
func renderOffline(spec stack.Spec) (rendered, error) {
	var r rendered
	if spec.NetworkID != "" {
		spec.NetworkCIDR = netip.PrefixFrom(spec.Proxy.PrivateIP, givenNetworkBits).Masked()
		r.note("%s: the range of the Private Network %s", spec.NetworkCIDR, spec.NetworkID)
		spec.NetworkID = ""
	}
	graph, err := stack.Desired(spec)
	if err != nil {
		return r, err
	}
	r.placeholders(graph, spec.Region)
	if cluster := graph.Cluster; cluster != nil && cluster.Existing {
		r.note("the ranges of the cluster %s are missing from the values", cluster.ID)
	}
	r.userData = graph.Proxies[0].Server.CloudInit
	if r.squidConf, err = graph.Proxies[0].SquidConf(); err != nil {
		return r, err
	}
	// It has to fit into user data.
	if _, err = cloudinit.EncodeSquidConf(r.squidConf); err != nil {
		return r, err
	}
	r.values, err = values(graph, spec)
	return r, err
}

// checkRendering finds what cannot be rendered, such as more domains than user
// data can hold, before anything is made.
func checkRendering(s *setup) error {
	_, err := renderOffline(s.spec)
	return err
}

// givenNetworkBits is the length that a given network's prefix is taken to
// have: that of the ranges that Scaleway chooses.
const givenNetworkBits = 22

func (r *rendered) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// placeholders fills in what Scaleway would.
func (r *rendered) placeholders(graph *stack.Graph, region string) {
	next := netip.MustParseAddr("203.0.113.1")
	take := func(what string) netip.Addr {
		address := next
		next = next.Next()
		r.note("%s: %s", address, what)
		return address
	}
	for _, address := range graph.Proxies[0].Addresses {
		if address.Role == stack.RoleShared {
			address.Address = take("the shared address")
			continue
		}
		address.Address = take("the address of " + strings.TrimPrefix(address.Role, stack.RoleTenant("")))
	}
	if graph.Gateway != nil {
		graph.Gateway.Address = take("the Public Gateway's address")
	}
	if graph.Registry != nil {
		graph.Registry.Endpoint = "rg." + region + ".scw.cloud/" + graph.Registry.Name // as Scaleway calls them all
	}
}

// comment says what are placeholders, as all three files write comments.
func (r *rendered) comment() string {
	if len(r.notes) == 0 {
		return ""
	}
	return "# bootstrap render: PLACEHOLDERS, for what is only known after apply:\n#   " + strings.Join(r.notes, "\n#   ") + "\n"
}

// commented is a file with the comment. The first line of user data says what
// it is, and stays the first.
func (r *rendered) commented(file []byte) []byte {
	comment := []byte(r.comment())
	if first, rest, ok := bytes.Cut(file, []byte("\n")); ok && bytes.Equal(first, []byte("#cloud-config")) {
		return slices.Concat(first, []byte("\n"), comment, rest)
	}
	return slices.Concat(comment, file)
}

// all is one text with everything.
func (r *rendered) all(spec stack.Spec) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# bootstrap render: what %s stands for.\n%s", spec.Name, r.comment())
	for _, part := range []struct {
		name string
		text []byte
	}{
		{"the proxy's user data cloud-init (--only " + onlyUserData + ")", r.userData},
		{"the proxy's squid.conf (--only " + onlySquidConf + ")", r.squidConf},
		{"the chart's values.yaml (--only " + onlyValues + ")", r.values},
	} {
		fmt.Fprintf(&text, "\n# %s\n# %s\n# %[1]s\n\n", strings.Repeat("=", 70), part.name)
		text.Write(bytes.TrimRight(part.text, "\n"))
		text.WriteByte('\n')
	}
	return text.Bytes()
}
