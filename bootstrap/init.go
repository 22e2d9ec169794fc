package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
)

// initRun is one run of init.
type initRun struct {
	*program

	options *initOptions
	// changed reports whether a flag is on the command line.
	changed func(flag string) bool
	asker   *asker

	credentials scaleway.Credentials
	egress      egressFile
	env         envFile
	spec        stack.Spec
}

func (r *initRun) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.note("checking the credentials with Scaleway (project %s, %s)", r.spec.Project, r.spec.Zone)
	iam, err := scaleway.NewIAM(ctx, r.credentials, r.spec, r.scaleway)
	if err != nil {
		return err
	}
	identity, err := iam.WhoAmI(ctx)
	if err != nil {
		return err
	}
	r.note("%s", r.describe(identity))
	keys := &keyWork{r, iam, identity}
	work := keys.take
	switch {
	case r.options.rotate:
		work = keys.rotate
	case r.options.createKey:
		work = keys.create
	}
	if err := r.egress.save(); err != nil {
		return fmt.Errorf("--config: %s: %w", r.egress.path, err)
	}
	credentials, err := work(ctx)
	if err != nil {
		return err
	}
	return r.finish(credentials)
}

// prepare determines what will be written, and returns all errors that can be found
// without a request at once.
func (r *initRun) prepare(ctx context.Context) error {
	if err := errors.Join(r.program.options.validate(), r.options.validate(r.terminals)); err != nil {
		return err
	}
	var errs []error
	var err error
	if r.credentials, err = r.findCredentials(ctx); err != nil {
		if ctx.Err() != nil || r.terminals.stdin {
			return err // without further questions
		}
		errs = append(errs, err)
	}
	if r.egress, err = r.readEgress(ctx); err != nil {
		return errors.Join(append(errs, err)...)
	}
	loaded, invalid := config.Load(r.egress.path, r.egress.text)
	errs = append(errs, invalid)
	if loaded != nil {
		errs = append(errs, r.checkAllPlaces(loaded, invalid))
	}
	r.env, err = r.readEnvFile()
	errs = append(errs, err)
	if loaded != nil {
		r.spec = stack.NewSpec(loaded, r.credentials.ProjectID)
		if r.spec.Project == "" && r.credentials != (scaleway.Credentials{}) {
			errs = append(errs, errors.New("--project: is required, because the credentials have no project: set it, or SCW_DEFAULT_PROJECT_ID"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.credentials = r.credentials.WithProject(r.spec.Project)
	return nil
}

// findCredentials returns the credentials of the environment or of the configuration
// file. On a terminal it asks for missing keys.
func (r *initRun) findCredentials(ctx context.Context) (scaleway.Credentials, error) {
	found, err := r.findKey()
	if err == nil || !r.terminals.stdin {
		return found, err
	}
	for _, leaf := range leaves(err) {
		if _, missing := errors.AsType[*scaleway.MissingKeyError](leaf); !missing {
			return found, err
		}
	}
	access, err := r.asker.answer(ctx, "Access key (SCW…)", "")
	if err != nil {
		return found, err
	}
	r.prompt("Secret key (not shown): ")
	secret, err := r.readSecret(ctx)
	r.prompt("\n")
	if err != nil {
		return found, err
	}
	return r.enterKey(access, secret, "")
}

// describe returns the description of the API key for the user.
func (r *initRun) describe(identity scaleway.Identity) string {
	text := "Scaleway accepts the API key " + r.credentials.AccessKey()
	switch {
	case identity.ApplicationID != "":
		text += " of the application " + identity.ApplicationID
	case identity.UserID != "":
		text += " of the user " + identity.UserID
	case !identity.Visible:
		text += ", which may not read its own record"
	}
	if identity.ExpiresAt != nil {
		text += ", which expires on " + identity.ExpiresAt.Format(time.DateOnly)
	}
	if identity.ProjectName != "" {
		text += fmt.Sprintf("; project %s (%s), organization %s", identity.ProjectName, r.spec.Project, identity.OrganizationID)
	}
	return text
}

// envPath is the path of the file for the credentials.
func (r *initRun) envPath() string {
	if r.options.envFile != "" {
		return r.options.envFile
	}
	return filepath.Join(filepath.Dir(r.program.options.config), ".env")
}

// finish prints the result.
func (r *initRun) finish(credentials scaleway.Credentials) error {
	if r.options.output == outputSecret {
		return nil // keyWork has printed the Secret
	}
	_, err := fmt.Fprint(r.stdout, initText(r.egress, r.env.path, credentials.AccessKey(), r.program.options.config))
	return err
}
