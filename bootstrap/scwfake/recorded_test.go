package scwfake_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"

	"egress.scw/bootstrap/scwfake"
)

// An absent key of user data is answered without a body, and not in the form of other
// errors.
func TestAbsentUserData(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		c.url+"/instance/v1/zones/fr-par-1/servers/"+c.newServer("s").ID+"/user_data/absent", nil)
	noError(t, err)
	request.Header.Set("X-Auth-Token", testToken)
	response, err := http.DefaultClient.Do(request)
	noError(t, err)
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))(t)
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusNotFound || got != "text/plain" || len(body) > 0 {
		t.Errorf("%s, %s, %q", response.Status, got, body)
	}
}

// A pool without bounds has 0 and its size as bounds.
func TestDefaultBoundsOfPools(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	p := c.newPool(c.newCluster(c.newNetwork()))
	if p.MinSize != 0 || p.MaxSize != p.Size {
		t.Errorf("%d nodes have the bounds %d and %d", p.Size, p.MinSize, p.MaxSize)
	}
}

// A version stays listed while it is deprecated.
func TestDeprecatedVersionsAreListed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	list := must(c.k8s.ListVersions(&k8s.ListVersionsRequest{}))(t).Versions
	got := names(list, func(v *k8s.Version) string { return v.Name })
	if diff := cmp.Diff([]string{"1.36.1", "1.35.3", offeredVersion, deprecatedVersion}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, v := range list {
		if !v.ReleasedAt.Before(*v.DeprecatedAt) || !v.DeprecatedAt.Before(*v.EndOfLifeAt) {
			t.Errorf("%s: released %s, deprecated %s, end of life %s", v.Name, v.ReleasedAt, v.DeprecatedAt, v.EndOfLifeAt)
		}
	}
}

// The types of gateways have their bandwidth in bit/s.
func TestGatewayTypes(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	types := must(c.gateway.ListGatewayTypes(&vpcgw.ListGatewayTypesRequest{}))(t).Types
	if len(types) == 0 || types[0].Name != "VPC-GW-S" || types[0].Bandwidth != 100_000_000 {
		t.Errorf("%v", types)
	}
}
