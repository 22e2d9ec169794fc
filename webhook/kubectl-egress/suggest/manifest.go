package suggest

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// maxShown bounds the lines of a list in comments.
const maxShown = 20

// Manifest returns the EgressTenant with the proposed list in YAML, ready to be applied.
// Comments describe the consequences.
func (p *Proposal) Manifest(tenant *v1alpha1.EgressTenant) (string, error) {
	proposed := struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string         `json:"metadata"`
		Spec            v1alpha1.EgressTenantSpec `json:"spec"`
	}{
		metav1.TypeMeta{APIVersion: names.Group + "/" + names.Version, Kind: names.KindEgressTenant},
		map[string]string{"name": tenant.Name},
		*tenant.Spec.DeepCopy(),
	}
	proposed.Spec.Allow = &p.Allow
	encoded, err := yaml.Marshal(proposed)
	if err != nil {
		return "", err
	}
	return p.comments() + string(encoded), nil
}

// comments describe the proposal in lines that begin with "# ".
func (p *Proposal) comments() string {
	var out strings.Builder
	line := func(format string, arguments ...any) { fmt.Fprintf(&out, "# "+format+"\n", arguments...) }
	line("Requests of %s from %s to %s: %d, of which the list allows %d.", p.Tenant, orDash(p.First), orDash(p.Last), p.Requests, p.Covered)
	if p.Malformed > 0 {
		line("Lines of the input that are no audit lines: %d.", p.Malformed)
	}
	if p.Unread > 0 {
		line("Connections without a request that the proxy could parse, which are left out: %d.", p.Unread)
	}
	if p.Skipped > 0 {
		line("Requests that are left out, because there are more than %d destinations: %d.", MaxDestinations, p.Skipped)
	}
	for _, fold := range p.Folds {
		line("%s stands for %s, and for all other names below it.", fold.Domain, some(fold.Names))
	}
	if len(p.Unseen) > 0 {
		line("Entries of the present list that no request needed: %s.", some(p.Unseen))
	}
	if len(p.Denials) > 0 {
		line("It would have denied (requests, rule, destination):")
	}
	for i, denial := range p.Denials {
		if i == maxShown {
			line("  and %d more destinations (all with -o json)", len(p.Denials)-i)
			break
		}
		text := fmt.Sprintf("  %d %s %s:%d", denial.Requests, denial.Rule, denial.Host, denial.Port)
		if denial.SNI != "" {
			text += " with " + denial.SNI + " in TLS"
		}
		if denial.Before {
			text += " (denied before)"
		}
		line("%s", text)
	}
	line("Where egress.yaml describes the tenants, write spec.allow there: bootstrap and the chart own this object.")
	return out.String()
}

func some(list []string) string {
	const most = 8
	if more := len(list) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), more)
	}
	return strings.Join(list, ", ")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
