package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

// valuesWithoutTenants returns values of the chart without its tenants: an EgressTenant
// that is not part of the release could not be upgraded by Helm.
func valuesWithoutTenants(text []byte) ([]byte, error) {
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	delete(all, "tenants")
	return yaml.Marshal(all)
}

// keepTrusted makes a plan anew without the replacement of machines, if sidecars do not
// trust a machine that stays: they would reach none. They trust it when the chart was
// upgraded with its certificate.
func (w *watcher) keepTrusted(ctx context.Context, t *watchTarget, observed *stack.Observed, plan *stack.Plan) (*stack.Plan, error) {
	if !t.spec.Proxy.Identity.Sidecars() || len(plan.Replacements()) == 0 {
		return plan, nil
	}
	settings, err := w.cluster.ConfigText(ctx, names.SettingsConfigMap, names.SettingsKey)
	if err != nil || settings == "" {
		return plan, err
	}
	machines, err := readMachines(ctx, t.target, plan.Graph)
	if err != nil {
		return nil, err
	}
	var untrusted []string
	for i, machine := range machines {
		trusted, err := isTrusted([]byte(settings), machine)
		if err != nil {
			return nil, err
		}
		if plan.Graph.Proxies[i].Server.ID != "" && !trusted {
			untrusted = append(untrusted, machine.Role)
		}
	}
	if len(untrusted) == 0 {
		return plan, nil
	}
	t.spec.KeepMachines = true
	plan, err = stack.Diff(t.spec, observed)
	if err == nil && len(plan.Postponed) > 0 {
		w.note("%s: replaced when sidecars trust %s: upgrade the chart with the values of the ConfigMap %s/%s",
			strings.Join(rolesOf(plan.Postponed), ", "), strings.Join(untrusted, ", "), w.cluster.Namespace, names.ValuesConfigMap)
	}
	return plan, err
}

// isTrusted returns whether the settings of the installed chart have the certificate of a
// machine.
func isTrusted(settings []byte, machine machineStatus) (bool, error) {
	var installed map[string]any
	if err := yaml.Unmarshal(settings, &installed); err != nil {
		return false, fmt.Errorf("%s of the ConfigMap %s: %w", names.SettingsKey, names.SettingsConfigMap, err)
	}
	known, _ := at(installed, "proxy.machines").([]any)
	return slices.ContainsFunc(known, func(entry any) bool {
		fields, ok := entry.(map[string]any)
		return ok && machine.Status != nil && machine.Status.Certificate != "" &&
			fields["address"] == machine.Address && fields["certificate"] == machine.Status.Certificate
	}), nil
}

// describedValues are the values of the chart that describe the stack, and are in the
// settings of the webhook under the same names.
var describedValues = []string{
	"proxy.addresses", "proxy.spareAddress", "proxy.identity", "proxy.machines",
	"proxy.egressAddresses.shared", "proxy.egressAddresses.dedicated", "proxy.egressAddresses.gateway",
}

// outdatedValues names the values that differ from the settings of the installed chart.
// CIDRs that the settings have in addition are no difference.
func outdatedValues(settings, values []byte) ([]string, error) {
	var installed, wanted map[string]any
	if err := yaml.Unmarshal(settings, &installed); err != nil {
		return nil, fmt.Errorf("%s of the ConfigMap %s: %w", names.SettingsKey, names.SettingsConfigMap, err)
	}
	if err := yaml.Unmarshal(values, &wanted); err != nil {
		return nil, err
	}
	var outdated []string
	for _, path := range describedValues {
		if !equalValues(at(installed, path), at(wanted, path)) {
			outdated = append(outdated, path)
		}
	}
	const cidrs = "cluster.cidrs"
	known, _ := at(installed, cidrs).([]any)
	needed, _ := at(wanted, cidrs).([]any)
	if slices.ContainsFunc(needed, func(cidr any) bool { return !slices.Contains(known, cidr) }) {
		outdated = append(outdated, cidrs)
	}
	return outdated, nil
}

// at returns the value at a path; nil if there is none.
func at(object map[string]any, path string) any {
	var value any = object
	for name := range strings.SplitSeq(path, ".") {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[name]
	}
	return value
}

// equalValues compares values of the chart: those that are empty, or the default of
// proxy.identity, equal those that are missing.
func equalValues(a, b any) bool {
	return isDefault(a) && isDefault(b) || reflect.DeepEqual(a, b)
}

func isDefault(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == "" || value == string(cloudinit.IdentityPort)
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}

// outdatedText tells how to bring values up to date; empty without any.
func outdatedText(outdated []string, namespace string) string {
	if len(outdated) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: upgrade the chart with the values of the ConfigMap %s/%s", strings.Join(outdated, ", "), namespace, names.ValuesConfigMap)
}
