package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

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

// describedValues are the values of the chart that describe the stack, and are in the
// settings of the webhook under the same names.
var describedValues = []string{
	"proxy.addresses", "proxy.identity", "proxy.machines",
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
		return value == string(cloudinit.IdentityPort)
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
