package scaleway

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

const withGateway = "network: {cidr: 172.16.28.0/22}\n"

func gatewaySpec(t *testing.T, gateway string) stack.Spec {
	t.Helper()
	return newSpec(t, withGateway, withGateway+"  gateway: "+gateway+"\n")
}

// A gateway that becomes larger is "failed" for a moment, which is no failure.
func TestGatewayUpgrade(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	larger := gatewaySpec(t, "{type: VPC-GW-M}")
	if _, err := apply(t.Context(), cloud, larger); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, larger)
}

// A gateway that stays "failed" is reported as such, long before the time is up.
func TestGatewayThatFails(t *testing.T) {
	t.Parallel()
	cloud := at(t.Context(), t, impatient(), answer(200, `{"id": "one", "zone": "fr-par-1", "status": "failed"}`))
	_, err := cloud.awaitGateway(t.Context(), &stack.Gateway{ResourceMeta: stack.ResourceMeta{ID: "one"}, Zone: "fr-par-1"}, silent)
	if lasting, ok := errors.AsType[*lastingError](err); !ok || lasting.status != "failed" {
		t.Errorf("got %v", err)
	}
}

// A type is compared with the API's list: for a new gateway, and for a change in place.
func TestGatewayTypes(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	larger := gatewaySpec(t, "{type: VPC-GW-M}")
	cloud := f.cloud(t.Context(), t, larger)
	const all = "VPC-GW-L, VPC-GW-M, VPC-GW-S, VPC-GW-XL"
	requireRefused := func(gateway, want string) {
		t.Helper()
		before := scwfake.Summary(f.Inventory())
		_, err := apply(t.Context(), cloud, gatewaySpec(t, gateway))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", gateway, err, want)
		}
		if diff := cmp.Diff(before, scwfake.Summary(f.Inventory())); diff != "" {
			t.Errorf("%s: resources changed: -before +after\n%s", gateway, diff)
		}
	}
	requireRefused("{type: VPC-GW-XXL}", "spec.gateway.type: there is no VPC-GW-XXL in fr-par-1; there are "+all)
	if _, err := apply(t.Context(), cloud, larger); err != nil {
		t.Fatal(err)
	}
	requireRefused("{type: VPC-GW-XXL}", "spec.gateway.type: there is no VPC-GW-XXL in fr-par-1; there are "+all)
	requireRefused("{type: VPC-GW-S}", "spec.gateway.type: a gateway cannot become smaller, and VPC-GW-S has less bandwidth than VPC-GW-M: "+
		"keep the type, or remove the gateway and create it again")
}

// A gateway can be in another zone of the region. It is found wherever it is, also when
// egress.yaml names another zone.
func TestGatewayZone(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	elsewhere := gatewaySpec(t, "{zone: fr-par-2}")
	cloud := f.cloud(t.Context(), t, elsewhere)
	if _, err := apply(t.Context(), cloud, elsewhere); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, elsewhere)
	requireGatewayIn(t, f, "fr-par-2")

	here := newSpec(t)
	if _, err := apply(t.Context(), cloud, here); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, here)
	requireGatewayIn(t, f, "fr-par-1")

	if err := destroy(t.Context(), cloud, elsewhere); err != nil {
		t.Fatal(err)
	}
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("left after destroy: %v", left)
	}
}

func requireGatewayIn(t *testing.T, f *fake, zone string) {
	t.Helper()
	var found []string
	for _, item := range f.Inventory() {
		if strings.HasPrefix(item.Kind, "gateway") {
			found = append(found, item.Kind+" in "+item.Place)
		}
	}
	want := []string{"gateway in " + zone, "gateway-ip in " + zone, "gateway-network in " + zone}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A gateway of another stack in another zone of the region is left alone.
func TestForeignGatewayInAnotherZone(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := cloud.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Zone: scw.ZoneFrPar2, Name: "theirs", Type: "VPC-GW-S"}); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	if err := destroy(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	if left := f.Inventory(); len(left) != 2 { // the gateway and its address
		t.Errorf("left after destroy: %v", left)
	}
}
