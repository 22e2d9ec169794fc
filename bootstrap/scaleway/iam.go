package scaleway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/account/v3"
	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// IAM is Scaleway's Identity and Access Management, seen with one API key. It manages
// the application, the policy and the API keys with which bootstrap works on one stack.
type IAM struct {
	iam         *iam.API
	account     *account.ProjectAPI
	credentials Credentials
	backoff     backoff
	// The stack's name and project. The project is in names, because the names of
	// stacks are only unique in a project, and applications belong to an organization.
	stack, project string
}

// NewIAM returns the IAM for a stack, which works until the context ends. It sends one
// request, like New.
func NewIAM(ctx context.Context, credentials Credentials, spec stack.Spec, options Options) (*IAM, error) {
	client, sends, err := newClient(ctx, credentials, options.withDefaults())
	if err != nil {
		return nil, err
	}
	// A key whose secret is lost is deleted also after the context has ended. All
	// requests of these products carry the caller's context.
	sends.ctx = context.WithoutCancel(ctx)
	return &IAM{iam.NewAPI(client), account.NewProjectAPI(client), credentials, sends.backoff, spec.Name, spec.Project}, nil
}

// managerPermission is the permission set, with the scope of the organization, that
// operations on applications, policies and API keys need.
const managerPermission = "IAMManager"

// explainIAM adds advice to an error about IAM.
func explainIAM(err error) error {
	if denied, ok := errors.AsType[*scw.PermissionsDeniedError](err); ok {
		return explained(denied, "the API key lacks a permission: its IAM policy needs %s for the organization, like the key of an administrator", managerPermission)
	}
	return explain(err, "")
}

// isForbidden reports whether a key may not do something.
func isForbidden(err error) bool {
	_, denied := errors.AsType[*scw.PermissionsDeniedError](err)
	return denied
}

// Identity is an API key as the API describes it. A field is empty if the key may not
// see it.
type Identity struct {
	// ApplicationID and UserID are the bearer: one of them is set, or neither.
	ApplicationID, UserID string
	// ExpiresAt is nil for a key without an end.
	ExpiresAt *time.Time
	// Visible is whether the key may read its own record.
	Visible bool
	// ProjectName and OrganizationID are those of the project that was asked for.
	ProjectName, OrganizationID string
}

// WhoAmI returns the description of the key, and of the project. The API has accepted
// the key if there is no error.
func (i *IAM) WhoAmI(ctx context.Context) (Identity, error) {
	var identity Identity
	key, err := i.iam.GetAPIKey(&iam.GetAPIKeyRequest{AccessKey: i.credentials.AccessKey()}, scw.WithContext(ctx))
	switch {
	case isForbidden(err), isNotFound(err):
	case err != nil:
		return identity, explainIAM(err)
	default:
		identity.Visible, identity.ExpiresAt = true, key.ExpiresAt
		identity.ApplicationID, identity.UserID = orEmpty(key.ApplicationID), orEmpty(key.UserID)
	}
	found, err := i.account.GetProject(&account.ProjectAPIGetProjectRequest{ProjectID: i.project}, scw.WithContext(ctx))
	switch {
	case isForbidden(err):
		identity.OrganizationID = orEmpty(i.credentials.profile.DefaultOrganizationID)
	case isNotFound(err):
		return identity, &explainedError{"there is no project " + i.project + ", or the API key may not see it", err}
	case err != nil:
		return identity, explainIAM(err)
	default:
		identity.ProjectName, identity.OrganizationID = found.Name, found.OrganizationID
	}
	return identity, nil
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// The endings of permission sets: every set with the first has a sibling with the second.
const fullAccess, readOnly = "FullAccess", "ReadOnly"

// PermissionSets returns the IAM permission sets that a stack needs: those of the
// table of kinds. A stack without a cluster or a registry needs to read these kinds
// nevertheless, to find those that it had before.
func PermissionSets(spec stack.Spec) []string {
	var sets []string
	for _, row := range rows() {
		set := row.permission
		without := set == permissionKubernetes && !spec.Cluster.BootstrapManages() || row.kind == stack.KindRegistry && spec.Registry == nil
		if without {
			set = strings.TrimSuffix(set, fullAccess) + readOnly
		}
		if !slices.Contains(sets, set) {
			sets = append(sets, set)
		}
	}
	return sets
}

// covers reports whether permission sets admit what a needed one admits.
func covers(sets []string, needed string) bool {
	return slices.Contains(sets, needed) || slices.Contains(sets, "AllProductsFullAccess") ||
		slices.Contains(sets, strings.TrimSuffix(needed, readOnly)+fullAccess)
}

// MissingPermissions returns the sets of a stack that the policies of an application
// do not contain for its project. Policies of groups are not looked at. The error is
// about a key that may not read policies.
func (i *IAM) MissingPermissions(ctx context.Context, identity Identity, needed []string) ([]string, error) {
	policies, err := i.policies(ctx, identity.OrganizationID, identity.ApplicationID)
	if err != nil {
		return nil, err
	}
	missing := slices.Clone(needed)
	for _, policy := range policies {
		rules, err := i.rules(ctx, policy.ID)
		if err != nil {
			return nil, err
		}
		for _, rule := range rules {
			if rule.OrganizationID == nil && !slices.Contains(elements(rule.ProjectIDs), i.project) {
				continue
			}
			missing = slices.DeleteFunc(missing, func(set string) bool { return covers(elements(rule.PermissionSetNames), set) })
		}
	}
	return missing, nil
}

func elements(list *[]string) []string {
	if list == nil {
		return nil
	}
	return *list
}

// ensureIAM returns the one resource that find finds, and creates it if there is none.
// Of several ones it takes the oldest, like ensure.
func ensureIAM[T any](ctx context.Context, i *IAM, find func() ([]T, error), create func() (T, error)) (T, error) {
	var none T
	retry := i.backoff.begin()
	for {
		found, err := find()
		if err != nil {
			return none, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
		created, err := create()
		if err == nil {
			return created, nil
		}
		if !isUncertain(err) && !isTransient(err) {
			return none, explainIAM(err)
		}
		if err := retry.wait(ctx, err); err != nil {
			return none, err
		}
	}
}

// byAge sorts by the time of creation.
func byAge[T any](items []T, created func(T) *time.Time) []T {
	slices.SortStableFunc(items, func(x, y T) int { return cmp.Compare(timeOf(created(x)).UnixNano(), timeOf(created(y)).UnixNano()) })
	return items
}
