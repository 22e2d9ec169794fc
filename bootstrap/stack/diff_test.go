package stack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

// lines are a plan's steps in short: what is done, to what, why, and after what.
func lines(plan *Plan) []string {
	var all []string
	for _, step := range plan.Steps {
		line := step.ID
		if step.Action != Delete {
			line = string(step.Action) + " " + line
		}
		for _, change := range step.Changes {
			if step.Action != Create {
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
		if r.Key().String() == key && !r.Base().Given {
			return r.(R)
		}
	}
	panic("there is no " + key)
}

// drop removes what is for the keys, without asking.
func (m *memory) drop(keys ...string) {
	m.resources = slices.DeleteFunc(m.resources, func(r Resource) bool {
		return !r.Base().Given && slices.Contains(keys, r.Key().String())
	})
}

// double adds a second resource for a key, which was made later.
func double[R Resource](m *memory, key string) R {
	second := snapshot(of[R](m, key))
	second.Base().ID += "-double"
	second.Base().CreatedAt = second.Base().CreatedAt.Add(time.Hour)
	m.resources = append(m.resources, second)
	return second.(R)
}

type diffCase struct {
	before func(*Spec)   // what led to what exists; nil: the configuration
	touch  func(*memory) // changes what exists
	after  func(*Spec)   // what is wanted; nil: the configuration
	want   []string
}

func given(s *Spec) {
	s.NetworkID, s.NetworkCIDR = theirNetwork, netip.Prefix{}
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
				fmt.Printf("GEN %s\n", name)
				for _, l := range lines(plan) {
					fmt.Printf("GEN\t\t\t%q,\n", l)
				}
			}
			requireSound(t, plan)
			requireComesTrue(t, m, after)
		})
	}
}
