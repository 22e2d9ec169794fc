package scaleway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// unconfirmed is in the description of an API key from its creation until it is
// written and proved (ConfirmKey). The secret key of a key that stays unconfirmed may
// be lost. replaces precedes the access key of the key that it replaces.
const (
	unconfirmed = ", not confirmed"
	replaces    = ", replaces "
)

func (i *IAM) keyDescription() string { return "bootstrap of egress.scw, stack " + i.stack }

// Key is an API key of the stack's application, without its secret.
type Key struct {
	AccessKey string
	// Confirmed is whether a run has written and proved it.
	Confirmed bool
	// Replaces is the access key of the key that an unconfirmed one replaces, or "".
	Replaces string
}

// Keys returns the API keys of an application, from the oldest to the youngest.
func (i *IAM) Keys(ctx context.Context, application string) ([]Key, error) {
	list, err := i.iam.ListAPIKeys(&iam.ListAPIKeysRequest{BearerID: &application}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explainIAM(err)
	}
	var keys []Key
	for _, key := range byAge(list.APIKeys, func(k *iam.APIKey) *time.Time { return k.CreatedAt }) {
		if orEmpty(key.ApplicationID) != application {
			continue
		}
		_, after, _ := strings.Cut(key.Description, replaces)
		former, _, _ := strings.Cut(after, ",")
		keys = append(keys, Key{key.AccessKey, !strings.Contains(key.Description, unconfirmed), former})
	}
	return keys, nil
}

// CreateKey creates an API key of an application that expires at a time, for its project.
// The key is unconfirmed. former is the access key of the key that it replaces, or "".
// A key whose secret the API's answer did not deliver is deleted; if that fails, the
// error contains the description that identifies it.
func (i *IAM) CreateKey(ctx context.Context, application, former string, expires time.Time) (Credentials, error) {
	description := i.keyDescription()
	if former != "" {
		description += replaces + former
	}
	// The random text identifies a key whose creation has no usable answer.
	description += unconfirmed + " " + rand.Text()
	retry := i.backoff.begin()
	for {
		key, err := i.iam.CreateAPIKey(&iam.CreateAPIKeyRequest{
			ApplicationID: &application, DefaultProjectID: &i.project, ExpiresAt: &expires, Description: description,
		}, scw.WithContext(ctx))
		if err == nil && key.AccessKey != "" && orEmpty(key.SecretKey) != "" {
			return i.credentials.withKey(key.AccessKey, *key.SecretKey).WithProject(i.project), nil
		}
		if err == nil {
			err = &uncertainError{http.MethodPost, errIncomplete}
		}
		if !isUncertain(err) && ctx.Err() == nil {
			return Credentials{}, explainIAM(err)
		}
		if lost := i.deleteLost(ctx, application, description); lost != nil {
			return Credentials{}, errors.Join(err, lost)
		}
		if err := retry.wait(ctx, err); err != nil {
			return Credentials{}, err
		}
	}
}

// cleanupTimeout bounds the deletion of a lost key after the context has ended.
const cleanupTimeout = 10 * time.Second

// deleteLost deletes the keys with a description, also after the context has ended. Then
// the creation may still take effect, so that finding no key is an error as well.
func (i *IAM) deleteLost(ended context.Context, application, description string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), cleanupTimeout)
	defer cancel()
	list, err := i.iam.ListAPIKeys(&iam.ListAPIKeysRequest{BearerID: &application}, scw.WithContext(ctx), scw.WithAllPages())
	found := false
	for at := 0; err == nil && at < len(list.APIKeys); at++ {
		if list.APIKeys[at].Description == description {
			found, err = true, i.DeleteKey(ctx, list.APIKeys[at].AccessKey)
		}
	}
	if err == nil && (found || ended.Err() == nil) {
		return nil
	}
	lost := fmt.Sprintf("an API key of the application %s may remain at Scaleway whose secret key is lost: the next run deletes it; its description is %q",
		i.ApplicationName(), description)
	if err != nil {
		lost += fmt.Sprintf(" (looking for it: %v)", err)
	}
	return errors.New(lost)
}

// DeleteUnconfirmed deletes the unconfirmed keys of an application, which interrupted
// runs have left, except for one. It returns those that it deleted.
func (i *IAM) DeleteUnconfirmed(ctx context.Context, application, except string) (deleted []string, err error) {
	keys, err := i.Keys(ctx, application)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if key.Confirmed || key.AccessKey == except || key.AccessKey == i.credentials.AccessKey() {
			continue
		}
		if err := i.DeleteKey(ctx, key.AccessKey); err != nil {
			return deleted, err
		}
		deleted = append(deleted, key.AccessKey)
	}
	return deleted, nil
}

// ConfirmKey marks a key as written and proved.
func (i *IAM) ConfirmKey(ctx context.Context, access string) error {
	_, err := i.iam.UpdateAPIKey(&iam.UpdateAPIKeyRequest{AccessKey: access, Description: new(i.keyDescription())}, scw.WithContext(ctx))
	return explainIAM(err)
}

// DeleteKey deletes a key. A key that does not exist is not an error.
func (i *IAM) DeleteKey(ctx context.Context, access string) error {
	err := i.iam.DeleteAPIKey(&iam.DeleteAPIKeyRequest{AccessKey: access}, scw.WithContext(ctx))
	if isNotFound(err) {
		return nil
	}
	return explainIAM(err)
}

// Prove reads the resources of a stack with its credentials, which shows that they and
// their permissions work. Scaleway takes a while until it knows a new key and a new
// policy, so that refusals are repeated.
func Prove(ctx context.Context, credentials Credentials, spec stack.Spec, options Options) error {
	options = options.withDefaults()
	retry := backoff{options.RetryFirst, options.RetryLongest, options.Tries}.begin()
	for {
		cloud, err := New(ctx, credentials, spec, options)
		if err == nil {
			_, err = cloud.Observe(ctx, spec)
		}
		if err == nil || !isRefused(err) {
			return err
		}
		if err := retry.wait(ctx, err); err != nil {
			return err
		}
	}
}

// isRefused reports whether the API refused the credentials or a permission.
func isRefused(err error) bool { return isDenied(err) || isForbidden(err) }

// OnlyPermissionsMissing reports whether an error of Observe is about permissions that
// the key lacks, and about nothing else.
func OnlyPermissionsMissing(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(part error) bool { return !OnlyPermissionsMissing(part) })
	}
	return isForbidden(err)
}
