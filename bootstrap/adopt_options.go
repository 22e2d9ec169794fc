package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/validation"
	"github.com/spf13/pflag"

	"egress.scw/bootstrap/stack"
)

// adoptOptions are the flags of adopt.
type adoptOptions struct {
	gateway string
	// shared are addresses, each after the role of its machine and "=", unless that is the
	// first one.
	shared []string
	// tenants are pairs of a tenant and its address. Before the tenant are the role of the
	// machine and a slash, unless it is the first one.
	tenants map[string]string
	dryRun  bool
}

func (o *adoptOptions) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&o.gateway, "gateway", "", "`ID` of the Public Gateway")
	flags.StringArrayVar(&o.shared, "shared-address", nil,
		"`ID` of the flexible address that tenants share, or the address itself; that of another machine is proxy-2=ID; can be repeated")
	flags.StringToStringVar(&o.tenants, "tenant-address", nil,
		"`tenant=ID` of the tenant's dedicated flexible address, or the address itself; that of another machine is proxy-2/tenant=ID; can be repeated")
	flags.Lookup("tenant-address").DefValue = "" // the help would print []
}

// named is a resource that a flag names.
type named struct {
	flag, name string
	// use is that of an address; empty for the gateway.
	use string
	// machine is the role of the machine that gets the address; empty for the first one.
	machine string
	// role and zone are those of the address, when the machine is known.
	role, zone string
}

// validate returns the resources that the flags name, or everything that is wrong with
// the flags.
func (o *adoptOptions) validate() ([]named, error) {
	all := o.named()
	var errs []error
	if o.gateway != "" && !validation.IsUUID(o.gateway) {
		errs = append(errs, fmt.Errorf("--gateway: %q is not a UUID", o.gateway))
	}
	for i, n := range all {
		if slices.ContainsFunc(all[:i], func(other named) bool { return other.name == n.name }) {
			errs = append(errs, fmt.Errorf("%s: another flag names %s too", n.flag, n.name))
		}
	}
	if len(all) == 0 {
		errs = append(errs, errors.New("name a resource: --gateway, --shared-address or --tenant-address"))
	}
	return all, errors.Join(errs...)
}

// named returns the resources that the flags name.
func (o *adoptOptions) named() []named {
	var all []named
	if o.gateway != "" {
		all = append(all, named{flag: "--gateway", name: o.gateway})
	}
	for _, value := range o.shared {
		n := named{flag: "--shared-address", name: value, use: stack.RoleShared}
		if machine, name, ok := strings.Cut(value, "="); ok {
			n.flag, n.machine, n.name = n.flag+" "+machine, machine, name
		}
		all = append(all, n)
	}
	for _, key := range slices.Sorted(maps.Keys(o.tenants)) {
		n := named{flag: "--tenant-address " + key, name: o.tenants[key], use: stack.RoleTenant(key)}
		if machine, tenant, ok := strings.Cut(key, "/"); ok {
			n.machine, n.use = machine, stack.RoleTenant(tenant)
		}
		all = append(all, n)
	}
	return all
}

// assign gives the addresses to their machines. It returns an error for each machine that
// egress.yaml does not have, and for each second address of one purpose.
func assign(all []named, spec stack.Spec) error {
	graph, err := stack.Desired(spec)
	if err != nil {
		return err
	}
	var errs []error
	for i := range all {
		n := &all[i]
		if n.use == "" {
			continue
		}
		proxy, err := machineOf(graph, n.machine)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.flag, err))
			continue
		}
		n.role, n.zone = proxy.AddressRole(n.use), proxy.Server.Zone
		if slices.ContainsFunc(all[:i], func(other named) bool { return other.role == n.role }) {
			errs = append(errs, fmt.Errorf("%s: another flag names an address of %s for the same purpose", n.flag, proxy.Role))
		}
	}
	return errors.Join(errs...)
}
