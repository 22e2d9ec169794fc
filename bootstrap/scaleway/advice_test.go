package scaleway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// at returns a Cloud whose API is a handler. The requests for metadata do not reach
// the handler.
func at(ctx context.Context, t testing.TB, options Options, handle http.HandlerFunc) *Cloud {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metadata" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"domain": "scw"}`)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	access, secret, project := "SCWXXXXXXXXXXXXXXXXX", "33333333-3333-4333-8333-333333333333", scwfake.DefaultProjectID
	credentials := Credentials{project, &scw.Profile{AccessKey: &access, SecretKey: &secret, DefaultProjectID: &project, APIURL: &server.URL}}
	cloud, err := New(ctx, credentials, newSpec(t), options)
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}

// answer returns a handler with one answer, which is JSON if there is a body.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if body != "" {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// sdkError returns the SDK's error for an answer.
func sdkError(t *testing.T, status int, body string) error {
	t.Helper()
	cloud := at(t.Context(), t, impatient(), answer(status, body))
	_, err := cloud.vpc.GetVPC(&vpc.GetVPCRequest{Region: cloud.region, VpcID: "one"})
	if err == nil {
		t.Fatalf("no error from %d %s", status, body)
	}
	return err
}

// Bodies of Scaleway's answers, or from the SDK's tests.
const (
	bodyQuota        = `{"details":[{"current":10,"quota":10,"resource":"human"}],"message":"quota(s) exceeded for this resource","type":"quotas_exceeded"}`
	bodyQuotaLegacy  = `{"type":"invalid_request_error","message":"Quota exceeded for this resource.","resource":"compute_snapshots_type_b_ssd_available"}`
	bodyOutOfStock   = `{"message":"resource is out of stock","resource":"PLAY2-NANO","type":"out_of_stock"}`
	bodyTransient    = `{"current_state":"configuring","message":"resource is in a transient state","resource":"gateway","resource_id":"ec175d39-169d-42e1-9d4a-3c40c9d3eade","type":"transient_state"}`
	bodyPrecondition = `{"help_message":"Private Network must be empty to be deleted","message":"precondition is not respected","precondition":"resource_still_in_use","type":"precondition_failed"}`
	bodyConflict     = `{"message":"Group is in use. You cannot delete it.","type":"conflict"}`
	bodyTaken        = `{"details":[{"argument_name":"name","help_message":"already exists","reason":"constraint"}],"message":"invalid argument(s)","type":"invalid_arguments"}`
	bodyBadName      = `{"details":[{"argument_name":"name","help_message":"","reason":"format"}],"message":"invalid argument(s)","type":"invalid_arguments"}`
	bodyNotFound     = `{"message":"resource is not found","resource":"gateway","resource_id":"ec175d39-169d-42e1-9d4a-3c40c9d3eade","type":"not_found"}`
	bodyUntyped      = `{"message":"namespace not found"}`
	bodyUnknown      = `{"type":"unknown_resource","message":"Security group \"ec175d39-169d-42e1-9d4a-3c40c9d3eade\" not found"}`
	bodyUnusual      = `{"type":"unknown_resource","message":"Server not found"}`
	bodyLocked       = `{"message":"resource is locked","resource":"instance_server","resource_id":"ec175d39-169d-42e1-9d4a-3c40c9d3eade","type":"locked"}`
	bodyAuth         = `{"message":"authentication is denied","method":"api_key","reason":"not_found","type":"denied_authentication"}`
	bodyPermissions  = `{"details":[{"action":"read","resource":"snapshot"}],"message":"insufficient permissions","type":"permissions_denied"}`
)

// is contains the results of the classification of an error.
type is struct{ NotFound, InUse, Transient, Denied, Taken, Uncertain bool }

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   stack.Kind
		is     is
		want   string // in the explanation
		cause  any
	}{
		{"quota", 403, bodyQuota, stack.KindVPC, is{}, "the organization's quota is used up: delete resources, or have it raised in Scaleway's console (Organization, Quotas) (scaleway-sdk-go: quota exceeded(s): human has reached its quota (10/10))", new(*scw.QuotasExceededError)},
		{"quota of the Instance API", 403, bodyQuotaLegacy, stack.KindServer, is{}, "quota is used up: delete resources", new(*scw.QuotasExceededError)},
		{"transient", 409, bodyTransient, stack.KindGatewayNetwork, is{Transient: true}, "is in a transient state: configuring", new(*scw.TransientStateError)},
		{"precondition", 412, bodyPrecondition, stack.KindPrivateNetwork, is{InUse: true, Taken: true}, "Private Network must be empty to be deleted", new(*scw.PreconditionFailedError)},
		{"conflict", 409, bodyConflict, stack.KindSecurityGroup, is{InUse: true, Taken: true}, "Group is in use. You cannot delete it.", new(*scw.ResponseError)},
		{"name that is in use", 400, bodyTaken, stack.KindRegistry, is{Taken: true}, "name", new(*scw.InvalidArgumentsError)},
		{"name of no form", 400, bodyBadName, stack.KindRegistry, is{}, "name", new(*scw.InvalidArgumentsError)},
		{"not found", 404, bodyNotFound, stack.KindGateway, is{NotFound: true}, "gateway with ID ec175d39-169d-42e1-9d4a-3c40c9d3eade is not found", new(*scw.ResourceNotFoundError)},
		{"not found without a type", 404, bodyUntyped, stack.KindRegistry, is{NotFound: true}, "404 Not Found: namespace not found", new(*scw.ResponseError)},
		{"not found of the Instance API", 404, bodyUnknown, stack.KindSecurityGroup, is{NotFound: true}, "security_group with ID", new(*scw.ResourceNotFoundError)},
		{"not found with an unusual message", 404, bodyUnusual, stack.KindServer, is{NotFound: true}, "resource is not found", new(*scw.ResourceNotFoundError)},
		{"locked", 403, bodyLocked, stack.KindServer, is{}, "Scaleway has locked it: ask Scaleway's support for the reason", new(*scw.ResourceLockedError)},
		{"credentials", 401, bodyAuth, stack.KindServer, is{Denied: true}, "the API does not accept the credentials: check SCW_ACCESS_KEY and SCW_SECRET_KEY, and that the key has not expired", new(*scw.DeniedAuthenticationError)},
		{"permission", 403, bodyPermissions, stack.KindVolume, is{}, "its IAM policy needs BlockStorageFullAccess for this project (scaleway-sdk-go: insufficient permissions: read snapshot)", new(*scw.PermissionsDeniedError)},
		{"permission for nothing in particular", 403, bodyPermissions, "", is{}, "the API key lacks a permission (", new(*scw.PermissionsDeniedError)},
		{"too many requests", 429, "", stack.KindVPC, is{}, "given up after 12 tries in 0s: the API answers 429 Too Many Requests", new(error)},
		{"a gateway's page", 418, "", stack.KindVPC, is{}, "418 I'm a teapot", new(*scw.ResponseError)},
		{"JSON of another form", 400, `["surprise"]`, stack.KindVPC, is{}, "could not parse error response body", new(scw.SdkError)},
		{"no JSON", 400, `{"type": "not_f`, stack.KindVPC, is{}, "could not parse error response body", new(scw.SdkError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := sdkError(t, c.status, c.body)
			for wrapped, err := range map[string]error{"by itself": err, "wrapped": fmt.Errorf("wrapped: %w", err)} {
				got := is{isNotFound(err), isInUse(err), isTransient(err), isDenied(err), isTaken(err), isUncertain(err)}
				if diff := cmp.Diff(c.is, got); diff != "" {
					t.Errorf("%s: the error is: -want +got\n%s", wrapped, diff)
				}
				if brief := brief(err); brief == "" || strings.Contains(brief, "\n") {
					t.Errorf("%s: in brief: %q", wrapped, brief)
				}
			}
			requireExplained(t, err, c.kind, c.want, c.cause)
		})
	}
}

// requireExplained requires an explanation that can be printed and joined, contains
// the wanted message, and wraps its cause.
func requireExplained(t *testing.T, err error, kind stack.Kind, want string, cause any) {
	t.Helper()
	explained := explain(err, kind)
	joined := errors.Join(fmt.Errorf("create something: %w", explained))
	if text := timeless(joined); !strings.Contains(text, want) || strings.Contains(text, "PANIC") || strings.Contains(text, "nil") {
		t.Errorf("the explanation is\n%s\nwant\n%s", text, want)
	}
	if !errors.Is(joined, err) || !errors.As(joined, cause) {
		t.Errorf("the explanation does not wrap its cause, %T", err)
	}
	if twice := explain(explained, stack.KindRegistry).Error(); strings.Count(twice, "scaleway-sdk-go: ") > 1 || strings.Contains(twice, "ContainerRegistry") {
		t.Errorf("explained twice: %s", twice)
	}
}

func TestNoError(t *testing.T) {
	t.Parallel()
	if err := explain(nil, stack.KindVPC); err != nil {
		t.Errorf("nil explained: %v", err)
	}
	var cloud *Cloud
	if err := cloud.explain(t.Context(), nil, &stack.VPC{}); err != nil {
		t.Errorf("nil explained: %v", err)
	}
	if got := (is{isNotFound(nil), isInUse(nil), isTransient(nil), isDenied(nil), isTaken(nil), isUncertain(nil)}); got != (is{}) {
		t.Errorf("nil is %+v", got)
	}
}

// Every kind of resource names the permission that its creation needs.
func TestPermissionSets(t *testing.T) {
	t.Parallel()
	graph, err := stack.Desired(newSpec(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range graph.Resources() {
		if kind := r.Key().Kind; rowOf(kind).permission == "" {
			t.Errorf("%s needs no permission", kind)
		}
	}
}

// The error about a type that is sold out names available types and zones, if they can
// be found out.
func TestOutOfStock(t *testing.T) {
	t.Parallel()
	const here = `{"servers":{"PLAY2-NANO":{"availability":"shortage"},"PLAY2-PICO":{"availability":"scarce"},"PLAY2-MEGA":{"availability":"shortage"},"PLAY2-MICRO":{"availability":"available"},"PRO2-S":{"availability":"available"}}}`
	const there = `{"servers":{"PLAY2-NANO":{"availability":"available"}}}`
	availability := func(zones map[string]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for zone, body := range zones {
				if r.URL.Path == "/instance/v1/zones/"+zone+"/products/servers/availability" {
					answer(http.StatusOK, body)(w, r)
					return
				}
			}
			answer(http.StatusNotFound, bodyUntyped)(w, r)
		}
	}
	for _, c := range []struct {
		name     string
		zones    map[string]string
		resource stack.Resource
		want     string
	}{
		{"other types and zones", map[string]string{"fr-par-1": here, "fr-par-2": there}, &stack.Server{Zone: "fr-par-1", Type: "PLAY2-NANO"}, "there are PLAY2-MICRO, PLAY2-PICO here, and PLAY2-NANO in fr-par-2"},
		{"nothing", map[string]string{"fr-par-1": `{"servers":{}}`}, &stack.Server{Zone: "fr-par-1", Type: "PLAY2-NANO"}, "there are none here, and PLAY2-NANO in none"},
		{"unknown", nil, &stack.Server{Zone: "fr-par-1", Type: "PLAY2-NANO"}, "choose another type, or another zone"},
		{"not a server", nil, &stack.Pool{}, "choose another type, or another zone"},
	} {
		cloud := at(t.Context(), t, impatient(), availability(c.zones))
		cause := sdkError(t, http.StatusConflict, bodyOutOfStock)
		got := cloud.explain(t.Context(), cause, c.resource)
		want := "PLAY2-NANO is sold out in fr-par-1: " + c.want + " (scaleway-sdk-go: resource PLAY2-NANO is out of stock)"
		if got.Error() != want || !errors.Is(got, cause) {
			t.Errorf("%s: got\n%v\nwant\n%s", c.name, got, want)
		}
	}
}

// Deletions, and the waits for their ends, accept the nil pointer that the SDK returns
// as an error.
func TestUnusualNotFound(t *testing.T) {
	t.Parallel()
	cloud := at(t.Context(), t, impatient(), answer(http.StatusNotFound, bodyUnusual))
	spec := newSpec(t)
	graph, err := stack.Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range graph.Resources() {
		r.Meta().ID = "one"
		create := cloud.Create(t.Context(), r, silent)
		update := cloud.Update(t.Context(), r, []stack.Change{{Field: "name"}, {Field: "type"}, {Field: "labels"}, {Field: "size"}}, silent)
		for what, err := range map[string]error{"create": create, "update": update} {
			if err == nil {
				t.Errorf("%s %s: no error", what, r.Key())
				continue
			}
			_ = errors.Join(err).Error()
		}
		switch err := cloud.Delete(t.Context(), r, silent); r.(type) {
		case *stack.Attachment, *stack.UserData, *stack.Power: // parts are not deleted by themselves
		default:
			if err != nil {
				t.Errorf("delete %s, which does not exist: %v", r.Key(), err)
			}
		}
	}
	_, err = cloud.Observe(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "is not found") {
		t.Errorf("observe: %v", err)
	}
	if _, err := cloud.Kubeconfig(t.Context(), &stack.Cluster{}); err == nil || strings.Contains(err.Error(), "nil") {
		t.Errorf("kubeconfig: %v", err)
	}
}

// A parser's error may quote a kubeconfig, which is a secret.
func TestBrokenKubeconfig(t *testing.T) {
	t.Parallel()
	const secret = "canary1"
	for _, content := range []string{secret, "users: " + secret, "users: [{name: a, user: " + secret + "}]", "clusters: [" + secret + "]"} {
		cloud := at(t.Context(), t, impatient(), answer(http.StatusOK, fmt.Sprintf(
			`{"name": "kubeconfig", "content_type": "application/octet-stream", "content": %q}`, base64.StdEncoding.EncodeToString([]byte(content)))))
		_, err := cloud.Kubeconfig(t.Context(), &stack.Cluster{ResourceMeta: stack.ResourceMeta{ID: "one"}})
		if err == nil || err.Error() != "invalid kubeconfig from Scaleway for the cluster" {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// If an operation on a part of a resource lacks a permission, the error names the
// permission for the part.
func TestPermissionOfAPart(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	f.SetFaults([]scwfake.Fault{{Method: http.MethodDelete, Path: "/block/", Count: 1 << 20, Kind: scwfake.FaultPermissionsDenied}})
	servers, err := cloud.instance.ListServers(&instance.ListServersRequest{Zone: cloud.zone, Tags: cloud.tags("")})
	if err != nil || len(servers.Servers) != 1 {
		t.Fatalf("%v, %v", servers, err)
	}
	err = cloud.Delete(t.Context(), newServer(cloud.zone, servers.Servers[0]), silent)
	if err == nil || !strings.Contains(err.Error(), "BlockStorageFullAccess") || strings.Contains(err.Error(), "InstancesFullAccess") {
		t.Errorf("delete: %v", err)
	}
}
