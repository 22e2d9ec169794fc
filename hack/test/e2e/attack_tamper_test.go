package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// tampering is the time for which the attacker changes the policy.
const tampering = 30 * time.Second

// tamper is a way to change the policy of the tenant's namespace.
type tamper struct {
	name   string
	change func(ctx context.Context, client kubernetes.Interface, namespace string) error
}

func tampers() []tamper {
	patch := func(name, patch string) tamper {
		return tamper{name, func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			_, err := client.NetworkingV1().NetworkPolicies(namespace).Patch(ctx, "egress-scw", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		}}
	}
	return []tamper{
		{"delete", func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return client.NetworkingV1().NetworkPolicies(namespace).Delete(ctx, "egress-scw", metav1.DeleteOptions{})
		}},
		{"delete all", func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return client.NetworkingV1().NetworkPolicies(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}},
		patch("edit the rules", `{"spec":{"egress":[{}]}}`),
		{"apply as another manager", func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			force := true
			object := `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"egress-scw"},"spec":{"podSelector":{},"egress":[{}]}}`
			_, err := client.NetworkingV1().NetworkPolicies(namespace).Patch(ctx, "egress-scw", types.ApplyPatchType, []byte(object),
				metav1.PatchOptions{FieldManager: "other", Force: &force})
			return err
		}},
		patch("edit the selector", `{"spec":{"podSelector":{"matchLabels":{"no":"pod"}}}}`),
	}
}

// A tenant's administrator cannot change the policy, however often it tries and
// in however many ways at once: not with the guards, and not where they are off for
// it. Without the webhook's own refusal too, every way opens the namespace.
func TestAttackByTampering(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	a := newAttacker(t, "e2e-attack-tamper", "client-a")
	guard, webhook := byGuard("own-policy"), byWebhook()
	for _, refusing := range []stop{guard, webhook} {
		t.Run("against "+refusing.name, func(t *testing.T) {
			if refusing.name == webhook.name {
				waitRefusal(t, a, webhook)
			}
			result := tampered{refusals: map[string]int{}}
			// At most one of 100 dials is the bound where the guards are off.
			eventually(t, "enough dials", func() (bool, string) {
				result.add(a.tamper(t, tampering, tampers()...))
				return result.dials >= 1000, result.String()
			})
			t.Logf("%s", result)
			if result.opened > 0 || result.changes > 0 || result.refusals[refusing.name] == 0 {
				t.Errorf("%s; want no change and no open dial", result)
			}
		})
		refusing.lift(t, a)
	}
	for _, way := range tampers() {
		t.Run("without both, "+way.name, func(t *testing.T) {
			eventually(t, "the change to be accepted", func() (bool, string) {
				err := way.change(t.Context(), a.client(t), a.namespace)
				return err == nil, fmt.Sprint(err)
			})
			// The network follows the policies, on a busy machine some time later.
			eventually(t, "the loop to open dials, or its refusal proves nothing", func() (bool, string) {
				result := a.tamper(t, tampering/10, way)
				t.Logf("%s", result)
				return result.opened > 0 && result.opened >= result.dials/10, result.String()
			})
		})
	}
}

// waitRefusal waits until the stop before this one is lifted.
func waitRefusal(t *testing.T, a attacker, s stop) {
	t.Helper()
	eventually(t, "a refusal by "+s.name, func() (bool, string) {
		err := tampers()[0].change(t.Context(), a.client(t), a.namespace)
		return err != nil && strings.Contains(err.Error(), s.message), fmt.Sprint(err)
	})
}

// tampered is the result of changing the policy in loops while a pod of the
// namespace dials the internet.
type tampered struct {
	opened, dials, changes int
	// refusals are by the name of the stop. Others are of a policy that does not
	// exist, or changed meanwhile.
	refusals map[string]int
}

func (r tampered) String() string {
	return fmt.Sprintf("%d of %d dials open, %d changes, refusals: %v", r.opened, r.dials, r.changes, r.refusals)
}

func (r *tampered) add(further tampered) {
	r.opened, r.dials, r.changes = r.opened+further.opened, r.dials+further.dials, r.changes+further.changes
	for by, count := range further.refusals {
		r.refusals[by] += count
	}
}

// tamper changes the policy in each way at once, as fast as the API server answers.
func (a attacker) tamper(t *testing.T, lasting time.Duration, ways ...tamper) tampered {
	t.Helper()
	result := tampered{refusals: map[string]int{}}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var mu sync.Mutex
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			result.changes++
			return
		}
		by := "other"
		for _, s := range []stop{byGuard("own-policy"), byWebhook()} {
			if strings.Contains(err.Error(), s.message) {
				by = s.name
			}
		}
		result.refusals[by]++
	}
	var loops sync.WaitGroup
	client := a.client(t)
	for _, way := range ways {
		loops.Go(func() {
			for ctx.Err() == nil {
				if err := way.change(ctx, client, a.namespace); ctx.Err() == nil {
					note(err)
				}
			}
		})
	}
	out, err := probe(t.Context(), a.namespace, "dials", netip.AddrPortFrom(shared.Plan.Echoes[1], 80).String(), lasting.String())
	if err != nil {
		t.Fatal(err)
	}
	end()
	loops.Wait()
	result.opened, result.dials = countDials(t, out)
	return result
}

func countDials(t *testing.T, output string) (opened, total int) {
	t.Helper()
	counts := regexp.MustCompile(`opened (\d+) of (\d+)`).FindStringSubmatch(output)
	if counts == nil {
		t.Fatalf("the probe printed %q", output)
	}
	opened, _ = strconv.Atoi(counts[1]) // digits
	total, _ = strconv.Atoi(counts[2])
	return opened, total
}
