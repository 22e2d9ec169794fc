package stack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
)

// lines returns a plan's steps in short: the action, the resource, the reason, and the
// steps that come before.
func lines(plan *Plan) []string {
	var all []string
	for _, step := range plan.Steps {
		line := step.ID
		if step.Action != Delete && step.Action != Drain {
			line = string(step.Action) + " " + line
		}
		for _, change := range step.Changes {
			switch {
			case step.Action == Create:
			case step.Kind == KindUserData, change.Field == "cloud-init": // the values depend on the templates of the files
				line += "; " + change.Field
			default:
				line += fmt.Sprintf("; %s: %s -> %s", change.Field, change.From, change.To)
			}
		}
		if step.Reason != "" {
			line += "; " + step.Reason
		}
		if len(step.Needs) > 0 {
			line += " << " + strings.Join(step.Needs, ", ")
		}
		all = append(all, line)
	}
	return all
}

// of returns the only resource for a key.
func of[R Resource](m *memory, key string) R {
	for _, r := range m.resources {
		if r.Key().String() == key && !r.Meta().Existing {
			return r.(R)
		}
	}
	panic("there is no " + key)
}

// drop removes the resources for the keys, without a check.
func (m *memory) drop(keys ...string) {
	m.resources = slices.DeleteFunc(m.resources, func(r Resource) bool {
		return !r.Meta().Existing && slices.Contains(keys, r.Key().String())
	})
}

// double adds a second, younger resource for a key.
func double[R Resource](m *memory, key string) R {
	second := snapshot(of[R](m, key))
	second.Meta().ID += "-double"
	second.Meta().CreatedAt = second.Meta().CreatedAt.Add(time.Hour)
	m.resources = append(m.resources, second)
	return second.(R)
}

type diffCase struct {
	before func(*Spec)   // changes the configuration that was applied before
	touch  func(*memory) // changes the existing resources
	after  func(*Spec)   // changes the wanted configuration
	want   []string
	// surge is whether a temporary machine may serve meanwhile.
	surge bool
}

// existing makes the network and the cluster those of another owner.
func existing(s *Spec) {
	s.Network = config.Network{ID: theirNetwork}
	s.Cluster.ID = theirCluster
}

func TestDiff(t *testing.T) {
	for name, c := range diffCases() {
		t.Run(name, func(t *testing.T) {
			before, after := newSpec(t), newSpec(t)
			if c.before != nil {
				c.before(&before)
			}
			if c.after != nil {
				c.after(&after)
			}
			after.ReplaceAtOnce = !c.surge
			m := filled(t, before)
			if c.touch != nil {
				c.touch(m)
			}
			plan, err := m.diff(t.Context(), after)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines(plan)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			requireSound(t, plan)
			requireConverges(t, m, after)
		})
	}
}

// An impossible configuration is an error that names the field.
func TestDiffOfImpossibleConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		after func(*Spec)
		touch func(*memory)
		want  string
	}{
		"address outside of an existing network": {
			after: func(s *Spec) { existing(s); s.Proxy.PrivateIP = netip.MustParseAddr("172.16.40.8") },
			want:  "spec.proxy.privateIP: 172.16.40.8 is not in 172.16.28.0/22",
		},
		"address that Scaleway reserves in an existing network": {
			after: func(s *Spec) { existing(s); s.Proxy.PrivateIP = netip.MustParseAddr("172.16.31.254") },
			want:  "spec.proxy.privateIP: 172.16.31.254 is one of the first two and the last two addresses of 172.16.28.0/22, the range of the Private Network their-network: Scaleway reserves them",
		},
		"cluster in another network than the existing one": {
			after: existing,
			touch: func(m *memory) {
				for _, r := range m.resources {
					if cluster, ok := r.(*Cluster); ok && cluster.ID == theirCluster {
						cluster.Network = &PrivateNetwork{ResourceMeta: ResourceMeta{ID: "another"}}
					}
				}
			},
			want: "spec.cluster.id: the cluster their-cluster is in the Private Network another, the proxy would be in their-network",
		},
		"cluster in another network than ours": {
			after: func(s *Spec) { s.Cluster.ID = theirCluster },
			want:  "spec.cluster.id: the cluster their-cluster is in the Private Network their-network, the proxy would be in private-network-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := filled(t, newSpec(t))
			if c.touch != nil {
				c.touch(m)
			}
			plan, err := m.diff(t.Context(), newSpec(t, c.after))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v and %v, want %q", err, plan, c.want)
			}
		})
	}
}

// TestDiffDestroy deletes all resources except for existing ones of another owner, each
// after the resources that prevent its deletion.
func TestDiffDestroy(t *testing.T) {
	for name, c := range map[string]struct {
		spec func(*Spec)
		want []string
	}{
		"all of it": {
			spec: func(*Spec) {},
			want: []string{
				"delete gateway-network gateway-network-1; not wanted any more",
				"delete private-ip/proxy private-ip-1; not wanted any more << delete server/proxy server-1",
				"delete server/proxy server-1; not wanted any more",
			},
		},
		"in existing resources": {spec: existing},
	} {
		t.Run(name, func(t *testing.T) {
			spec := newSpec(t, c.spec)
			m := filled(t, spec)
			plan, err := m.destroy(t.Context(), spec, 8)
			if err != nil {
				t.Fatal(err)
			}
			requireSound(t, plan)
			if left := m.ours(spec); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			got := lines(plan)
			for _, line := range c.want {
				if !slices.Contains(got, line) {
					t.Errorf("no step %q in\n%s", line, strings.Join(got, "\n"))
				}
			}
			if left := len(newMemory().resources); len(m.resources) != left {
				t.Errorf("%d resources are left, want the %d of the other owner", len(m.resources), left)
			}
		})
	}
}
