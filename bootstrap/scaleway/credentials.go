package scaleway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/scw"
	"github.com/scaleway/scaleway-sdk-go/validation"
)

// Credentials identify a caller to the API. Their keys never appear in printed or
// logged values.
type Credentials struct {
	// ProjectID is the default project of the credentials, or empty.
	ProjectID string

	profile *scw.Profile
}

// String hides the keys.
func (Credentials) String() string { return "Scaleway credentials" }

// GoString hides the keys.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the keys.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// FindCredentials reads the credentials where every Scaleway tool does: from the
// environment (SCW_ACCESS_KEY, SCW_SECRET_KEY, SCW_DEFAULT_PROJECT_ID,
// SCW_API_URL), and values that are missing there from the active profile of the
// Scaleway configuration file. The error lists all values that are missing or
// malformed. It does not contain any key.
func FindCredentials() (Credentials, error) {
	profile, err := foundProfile()
	if err != nil {
		return Credentials{}, err
	}
	return newCredentials(profile)
}

// foundProfile merges the environment and the configuration file.
func foundProfile() (*scw.Profile, error) {
	quietSDK()
	fromFile, err := fileProfile()
	if err != nil {
		return nil, err
	}
	return scw.MergeProfiles(fromFile, scw.LoadEnvProfile()), nil
}

func newCredentials(profile *scw.Profile) (Credentials, error) {
	errs := []error{
		checkKey(profile.AccessKey, scw.ScwAccessKeyEnv, "access_key", "SCW and 17 capital letters or digits", accessKey.MatchString),
		checkKey(profile.SecretKey, scw.ScwSecretKeyEnv, "secret_key", "a UUID", validation.IsUUID),
	}
	project := ""
	if profile.DefaultProjectID != nil {
		project = *profile.DefaultProjectID
		if !validation.IsUUID(project) {
			errs = append(errs, fmt.Errorf("credentials: the project %q (%s) is not a UUID", project, scw.ScwDefaultProjectIDEnv))
		}
	}
	if profile.APIURL != nil {
		errs = append(errs, checkAPIURL(*profile.APIURL))
	}
	if err := errors.Join(errs...); err != nil {
		return Credentials{}, err
	}
	return Credentials{ProjectID: project, profile: profile}, nil
}

// fileProfile reads the active profile of the configuration file. A missing file is
// not an error.
func fileProfile() (*scw.Profile, error) {
	config, err := scw.LoadConfig()
	var missing *scw.ConfigFileNotFoundError
	switch {
	case errors.As(err, &missing):
		return &scw.Profile{}, nil
	case err != nil:
		// A parser's error quotes its input, which may be a key.
		return nil, fmt.Errorf("credentials: the Scaleway configuration file %s cannot be read: check that it is YAML and that you may read it", scw.GetConfigPath())
	}
	profile, err := config.GetActiveProfile()
	if err != nil {
		return nil, fmt.Errorf("credentials: the profile %q is not in %s", os.Getenv(scw.ScwActiveProfileEnv), scw.GetConfigPath())
	}
	return profile, nil
}

func checkKey(value *string, variable, entry, form string, valid func(string) bool) error {
	switch {
	case value == nil || *value == "":
		return &MissingKeyError{fmt.Sprintf("credentials: %s is not set, and the Scaleway configuration file (%s) has no %s",
			variable, scw.GetConfigPath(), entry)}
	case !valid(*value):
		return fmt.Errorf("credentials: %s (%s in the configuration file) is malformed: it must be %s", variable, entry, form)
	}
	return nil
}

var accessKey = regexp.MustCompile(`^SCW[A-Z0-9]{17}$`)

func checkAPIURL(text string) error {
	address, err := url.Parse(text)
	if err != nil { // err would contain the address, maybe with a password
		return fmt.Errorf("credentials: the API's address (%s) is not a URL", scw.ScwAPIURLEnv)
	}
	if (address.Scheme != "https" && address.Scheme != "http") || address.Host == "" || strings.HasSuffix(text, "/") {
		return fmt.Errorf("credentials: the API's address %q (%s) must be a URL such as https://api.scaleway.com, without a slash at its end",
			address.Redacted(), scw.ScwAPIURLEnv)
	}
	return nil
}
