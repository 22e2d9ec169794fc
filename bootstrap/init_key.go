package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"egress.scw/bootstrap/scaleway"
)

// keyWork obtains the credentials that a run of init writes.
type keyWork struct {
	*initRun

	iam      *scaleway.IAM
	identity scaleway.Identity
}

// take writes the credentials that the run itself has.
func (w *keyWork) take(ctx context.Context) (scaleway.Credentials, error) {
	text := w.env.with(w.credentials)
	if err := w.refuseOther(w.credentials.AccessKey()); err != nil {
		return w.credentials, err
	}
	if err := w.warnAboutPermissions(ctx); err != nil {
		return w.credentials, err
	}
	if w.options.output == outputSecret {
		return w.credentials, w.print(w.credentials)
	}
	return w.credentials, w.env.save(text)
}

// refuseOther protects a key in .env other than the given one.
func (w *keyWork) refuseOther(access string) error {
	old := w.env.get(accessKeyVariable)
	if old == "" || old == access || w.options.force {
		return nil
	}
	return fmt.Errorf("--env-file: %s has the API key %s: use --rotate to replace it by a new one, or --force to write over it", w.env.path, old)
}

// warnAboutPermissions reads the resources of the stack, and the policies of the key
// if it may see them, and reports the permissions that are missing.
func (w *keyWork) warnAboutPermissions(ctx context.Context) error {
	cloud, err := scaleway.New(ctx, w.credentials, w.spec, w.scaleway)
	if err != nil {
		return err
	}
	if _, err := cloud.Observe(ctx, w.spec); err != nil {
		if !scaleway.OnlyPermissionsMissing(err) {
			return err
		}
		for _, leaf := range leaves(err) {
			w.note("Warning: %s", leaf)
		}
	}
	if w.identity.ApplicationID == "" || w.identity.OrganizationID == "" {
		return nil
	}
	missing, err := w.iam.MissingPermissions(ctx, w.identity, scaleway.PermissionSets(w.spec))
	switch {
	case scaleway.OnlyPermissionsMissing(err):
		return nil // Scaleway does not show the policies to this key
	case err == nil && len(missing) > 0:
		w.note("Warning: the policies of the application %s lack %s for the project %s (policies of groups are not shown here)",
			w.identity.ApplicationID, strings.Join(missing, ", "), w.spec.Project)
	}
	return err
}

// create writes a new key of the stack's application. A key of the application that is
// in .env already is proved, and kept.
func (w *keyWork) create(ctx context.Context) (scaleway.Credentials, error) {
	_, keys, err := w.find(ctx)
	if err != nil {
		return w.credentials, err
	}
	current := w.env.get(accessKeyVariable)
	at := slices.IndexFunc(keys, func(k scaleway.Key) bool { return k.AccessKey == current })
	if at < 0 {
		if err := w.refuseOther(""); err != nil {
			return w.credentials, err
		}
	}
	application, err := w.iam.EnsureApplication(ctx, w.identity.OrganizationID, scaleway.PermissionSets(w.spec))
	if err != nil {
		return w.credentials, err
	}
	if at >= 0 {
		return w.resume(ctx, keys[at])
	}
	return w.replace(ctx, application, "")
}

// rotate replaces the key in .env. A rotation that was interrupted after the new key
// was written is finished.
func (w *keyWork) rotate(ctx context.Context) (scaleway.Credentials, error) {
	application, keys, err := w.find(ctx)
	if err != nil {
		return w.credentials, err
	}
	if application == "" {
		return w.credentials, fmt.Errorf("--rotate: there is no IAM application %s: bootstrap init --create-key creates it", w.iam.ApplicationName())
	}
	if w.options.output == outputSecret {
		return w.replace(ctx, application, "")
	}
	current := w.env.get(accessKeyVariable)
	at := slices.IndexFunc(keys, func(k scaleway.Key) bool { return k.AccessKey == current })
	switch {
	case at < 0:
		return w.credentials, fmt.Errorf("--rotate: the API key %s in %s is not one of the IAM application %s: bootstrap init --create-key --force replaces it by one that is",
			current, w.env.path, w.iam.ApplicationName())
	case !keys[at].Confirmed:
		return w.resume(ctx, keys[at])
	}
	return w.replace(ctx, application, current)
}

// find returns the stack's application and its keys, without a change.
func (w *keyWork) find(ctx context.Context) (application string, keys []scaleway.Key, err error) {
	if w.identity.OrganizationID == "" {
		return "", nil, errors.New("the organization of the project is not visible to this API key: use the key of an administrator, or set SCW_DEFAULT_ORGANIZATION_ID")
	}
	application, err = w.iam.FindApplication(ctx, w.identity.OrganizationID)
	if err != nil || application == "" {
		return "", nil, err
	}
	keys, err = w.iam.Keys(ctx, application)
	return application, keys, err
}

// replace creates a key, and writes, proves and confirms it. Then it deletes the former
// one, if there is one.
func (w *keyWork) replace(ctx context.Context, application, former string) (scaleway.Credentials, error) {
	deleted, err := w.iam.DeleteUnconfirmed(ctx, application, w.env.get(accessKeyVariable))
	for _, access := range deleted {
		w.note("deleted the API key %s, which an interrupted run has left", access)
	}
	if err != nil {
		return w.credentials, err
	}
	expires := time.Now().Add(w.options.expiresIn).UTC().Truncate(time.Second)
	key, err := w.iam.CreateKey(ctx, application, former, expires)
	if err != nil {
		return key, err
	}
	w.note("created the API key %s of the application %s, which expires on %s", key.AccessKey(), w.iam.ApplicationName(), expires.Format(time.DateOnly))
	if w.options.output == outputSecret {
		return key, w.deliver(ctx, application, key)
	}
	if err := w.env.save(w.env.with(key)); err != nil {
		return key, errors.Join(err, w.discard(ctx, key))
	}
	if err := w.prove(ctx, key.AccessKey(), former); err != nil {
		return key, err
	}
	w.nameOthers(ctx, application, key.AccessKey())
	return key, nil
}

// resume proves and confirms a key that is in .env.
func (w *keyWork) resume(ctx context.Context, key scaleway.Key) (scaleway.Credentials, error) {
	credentials, err := w.credentialsIn(w.env)
	if err != nil {
		return credentials, err
	}
	if key.Confirmed {
		w.note("%s has the API key %s of the application %s already", w.env.path, key.AccessKey, w.iam.ApplicationName())
		return credentials, scaleway.Prove(ctx, credentials, w.spec, w.scaleway)
	}
	w.note("continuing with the API key %s in %s", key.AccessKey, w.env.path)
	return credentials, w.prove(ctx, key.AccessKey, key.Replaces)
}
