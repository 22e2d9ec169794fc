package scaleway

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// Whatever the API answers to the request for metadata, no command fails because of it,
// and the request is sent once.
func TestMetadata(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]http.HandlerFunc{
		"as in the SDK":  answer(http.StatusOK, `{"platform": "scaleway", "partition": "scaleway", "domain": "scw"}`),
		"another domain": answer(http.StatusOK, `{"domain": "other"}`),
		"no such path":   answer(http.StatusNotFound, bodyUntyped),
		"not permitted":  answer(http.StatusForbidden, bodyPermissions),
		"not signed in":  answer(http.StatusUnauthorized, bodyAuth),
		"throttled":      answer(http.StatusTooManyRequests, ""),
		"broken":         answer(http.StatusInternalServerError, bodyUntyped),
		"a page":         answer(http.StatusOK, `<html></html>`),
		"empty":          answer(http.StatusOK, ""),
		"null":           answer(http.StatusOK, "null"),
		"a list":         answer(http.StatusOK, "[null]"),
		"no domain":      answer(http.StatusOK, "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := scwfake.New(scwfake.Options{})
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == metadataPath {
					asked.Add(1)
					handle(w, r)
					return
				}
				fake.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			access, secret := "SCWXXXXXXXXXXXXXXXXX", "33333333-3333-4333-8333-333333333333"
			credentials := Credentials{scwfake.DefaultProjectID, &scw.Profile{AccessKey: &access, SecretKey: &secret, APIURL: &server.URL}}
			spec := newSpec(t)
			cloud, err := New(t.Context(), credentials, spec, impatient())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan(t.Context(), cloud, spec); err != nil {
				t.Error(err)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the metadata was requested %d times", n)
			}
		})
	}
}
