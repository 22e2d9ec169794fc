package inject

import (
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// restoreSettings restores the settings of the resolver, the sysctl and the resources
// that a pod got at its creation, where its manifest is applied again and sets them
// otherwise. Details that were not read are left.
func (p *patcher) restoreSettings(now, was *details) {
	if now == nil || was == nil {
		return
	}
	if dns := p.injection.dns; dns != nil && !now.sameDNS(was) && dns.made(now, was) {
		p.dns(now)
		p.patch.Warnings = nil // the author has had them at the creation
	}
	if p.injection.sidecar == nil || !was.initContainers.exists() {
		return
	}
	_, hasStart := now.portStart()
	if _, hadStart := was.portStart(); hadStart && !hasStart {
		p.sysctl(now)
	}
	if now.resources != nil && was.resources != nil {
		p.restoreAmounts("requests/", now.resources.Requests, was.resources.Requests)
		p.restoreAmounts("limits/", now.resources.Limits, was.resources.Limits)
	}
}

func (d *details) sameDNS(other *details) bool {
	return d.dnsPolicy == other.dnsPolicy && reflect.DeepEqual(d.dns, other.dns)
}

// made reports whether the settings of one pod became those of the other.
func (d *dns) made(now, was *details) bool {
	if was.dns == nil || was.dnsPolicy != dnsPolicyNone {
		return false
	}
	own := dnsConfig{}
	if now.dns != nil {
		own = *now.dns
	}
	searches, _ := d.search(own.Searches)
	options, _ := d.options(own.Options)
	return slices.Equal(was.dns.Nameservers, []string{d.server}) && slices.Equal(was.dns.Searches, searches) && slices.Equal(was.dns.Options, options)
}

// restoreAmounts restores amounts that were raised by those of the sidecar.
func (p *patcher) restoreAmounts(kind string, now, was amounts) {
	for _, name := range []string{"cpu", "memory"} {
		own, isSet := now[name]
		if before, wasSet := was[name]; isSet && wasSet && !own.Equal(before.Quantity) {
			if raised := p.injection.sidecar.raised(kind, name, own); raised.Equal(before.Quantity) {
				p.add(quote(before.String()), "/spec/resources/", kind, name)
			}
		}
	}
}

// raised returns an amount of the pod as a whole with that of the sidecar. Where the
// sidecar has no limit, its request is added, so that the pod's limit stays above its
// requests.
func (s *sidecar) raised(kind, name string, own amount) resource.Quantity {
	ours, limited := s.limits[name]
	if kind == "requests/" || !limited {
		ours = s.requests[name]
	}
	total := own.DeepCopy()
	total.Add(ours.Quantity)
	return total
}
