package scaleway

import (
	"github.com/scaleway/scaleway-sdk-go/scw"
)

// MissingKeyError reports a key that neither the environment nor the configuration file
// has.
type MissingKeyError struct{ message string }

func (e *MissingKeyError) Error() string { return e.message }

// EnterCredentials returns the credentials with keys that were entered or read from
// another place. An empty project is that of the environment or of the configuration
// file, as in FindCredentials; so is the address of the API. The error does not contain
// any key.
func EnterCredentials(access, secret, project string) (Credentials, error) {
	found, err := foundProfile()
	if err != nil {
		return Credentials{}, err
	}
	entered := &scw.Profile{AccessKey: &access, SecretKey: &secret}
	if project != "" {
		entered.DefaultProjectID = &project
	}
	return newCredentials(scw.MergeProfiles(found, entered))
}

// NewCredentials returns credentials of which nothing is read from the environment or
// from the configuration file. The error does not contain any key.
func NewCredentials(access, secret, project, api string) (Credentials, error) {
	return newCredentials(&scw.Profile{AccessKey: &access, SecretKey: &secret, DefaultProjectID: &project, APIURL: &api})
}

// AccessKey returns the access key, which is not a secret: Scaleway shows it in lists
// of keys and in logs.
func (c Credentials) AccessKey() string { return *c.profile.AccessKey }

// Variables returns the credentials as environment variables of Scaleway's tools, with
// the secret key. They are for the place where the user keeps secrets, and for no
// output, log or error.
func (c Credentials) Variables() [][2]string {
	variables := [][2]string{
		{scw.ScwAccessKeyEnv, *c.profile.AccessKey},
		{scw.ScwSecretKeyEnv, *c.profile.SecretKey},
		{scw.ScwDefaultProjectIDEnv, c.ProjectID},
	}
	if c.profile.APIURL != nil {
		variables = append(variables, [2]string{scw.ScwAPIURLEnv, *c.profile.APIURL})
	}
	return variables
}

// withKey returns credentials for the same API and project with another key.
func (c Credentials) withKey(access, secret string) Credentials {
	profile := *c.profile
	profile.AccessKey, profile.SecretKey = &access, &secret
	return Credentials{c.ProjectID, &profile}
}

// WithProject returns the same credentials with another project.
func (c Credentials) WithProject(project string) Credentials {
	profile := *c.profile
	profile.DefaultProjectID = &project
	return Credentials{project, &profile}
}
