package internet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// counterTable is the nftables table of the counters.
const counterTable = "egress_internet"

// CounterRuleset returns the nftables ruleset that counts every IPv4 packet
// that arrives from outside in the network namespace where it is loaded, before
// another rule can drop it. Loading it again resets the counters.
func CounterRuleset() string {
	return fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
	set flows {
		type ifname . ipv4_addr . ipv4_addr . inet_proto . inet_service
		size 65535
		flags dynamic
		counter
	}
	set others {
		type ifname . ipv4_addr . ipv4_addr . inet_proto
		size 65535
		flags dynamic
		counter
	}
	chain arriving {
		# Before connection tracking (-200), as early as there is a hook.
		type filter hook prerouting priority -300; policy accept;
		iifname "lo" accept
		meta l4proto { tcp, udp } update @flows { iifname . ip saddr . ip daddr . meta l4proto . th dport } accept
		# Not tcp or udp; or both, should the set above be full.
		update @others { iifname . ip saddr . ip daddr . meta l4proto }
	}
}
`, counterTable)
}

// Counter is the number of packets of one kind that have arrived.
type Counter struct {
	// Interface is the interface on which they arrived.
	Interface   string     `json:"interface"`
	Source      netip.Addr `json:"source"`
	Destination netip.Addr `json:"destination"`
	// Protocol is tcp, udp, icmp, or a number for which nftables has no
	// name.
	Protocol string `json:"protocol"`
	// Port is the destination port, or 0 for protocols without ports.
	Port    uint16 `json:"port"`
	Packets uint64 `json:"packets"`
}

// ReadCounters returns the counters of the network namespace that the caller
// runs in. It needs root, nft, and CounterRuleset loaded.
func ReadCounters(ctx context.Context) ([]Counter, error) {
	output, err := exec.CommandContext(ctx, "nft", "-j", "list", "table", "ip", counterTable).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("listing the table of counters: %w", err)
	}
	return ParseCounters(output)
}

// ParseCounters reads the output of `nft -j list` for the table, its sets or
// the whole ruleset. It skips objects other than the table's sets.
func ParseCounters(output []byte) ([]Counter, error) {
	var listing struct {
		Objects []struct {
			Set *counterSet `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(output, &listing); err != nil {
		return nil, fmt.Errorf("output of nft -j: %w", err)
	}
	if listing.Objects == nil {
		return nil, errors.New(`output of nft -j: there is no "nftables"`)
	}
	counters := []Counter{}
	for _, object := range listing.Objects {
		if object.Set == nil || object.Set.Table != counterTable {
			continue
		}
		for _, element := range object.Set.Elements {
			counter, err := element.counter()
			if err != nil {
				return nil, fmt.Errorf("output of nft -j: set %s: %w", object.Set.Name, err)
			}
			counters = append(counters, counter)
		}
	}
	return counters, nil
}

// counterSet is a set in nft's JSON output.
type counterSet struct {
	Table    string           `json:"table"`
	Name     string           `json:"name"`
	Elements []counterElement `json:"elem"`
}

type counterElement struct {
	Elem struct {
		Value struct {
			Concat []json.RawMessage `json:"concat"`
		} `json:"val"`
		Counter *struct {
			Packets uint64 `json:"packets"`
		} `json:"counter"`
	} `json:"elem"`
}

// counter reads interface, source, destination, protocol and, in the set
// flows, the port.
func (e counterElement) counter() (Counter, error) {
	parts := e.Elem.Value.Concat
	if len(parts) != 4 && len(parts) != 5 {
		return Counter{}, fmt.Errorf("an element of %d parts, not 4 or 5", len(parts))
	}
	if e.Elem.Counter == nil {
		return Counter{}, errors.New("an element without a counter")
	}
	counter := Counter{Packets: e.Elem.Counter.Packets}
	targets := []any{&counter.Interface, &counter.Source, &counter.Destination, (*protocol)(&counter.Protocol), &counter.Port}
	for i, part := range parts {
		if err := json.Unmarshal(part, targets[i]); err != nil {
			return Counter{}, fmt.Errorf("part %d of an element: %w", i, err)
		}
	}
	return counter, nil
}

// protocol is a name, or a number if nft has no name for it.
type protocol string

func (p *protocol) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		*p = protocol(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(p))
}
