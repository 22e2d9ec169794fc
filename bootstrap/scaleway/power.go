package scaleway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func powerRow() operations {
	return row[*stack.Power]{
		kind: stack.KindPower, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).powerOn,
	}.untyped()
}

// powerOn starts the server. After an accepted power-on, a server whose type is sold
// out falls back to stopped.
func (c *Cloud) powerOn(ctx context.Context, r *stack.Power, report func(string)) error {
	const stoppedAgain = "stopped again"
	r.ID = r.Server.ID
	zone := scw.Zone(r.Server.Zone)
	request := actionRequest{cloud: c, zone: zone, server: r.Server.ID, action: instance.ServerActionPoweron}
	s, err := await(ctx, c, report, func(ctx context.Context) (*instance.Server, string, error) {
		s, err := c.getServer(ctx, zone, r.Server.ID)
		if err != nil {
			return nil, "", err
		}
		if request.accepted && s.State == instance.ServerStateStopped {
			return s, stoppedAgain, nil
		}
		return s, s.State.String(), request.send(ctx, s)
	}, []string{"running"}, []string{"locked", stoppedAgain})
	if lasting, ok := errors.AsType[*lastingError](err); ok && lasting.status == stoppedAgain {
		return fmt.Errorf("after an accepted power-on, the server stopped again (%s). A type that is sold out is a frequent cause: %s; or run this again later",
			cmp.Or(s.StateDetail, "no detail"), c.alternatives(ctx, r.Server))
	}
	return err
}

// actionRequest requests an action of a server once. An action is a POST, which a
// server in another state refuses. So it is sent only while the server allows it.
// After an uncertain answer or a refusal it is sent again only if the server,
// observed again, still allows it: another run may have been faster.
type actionRequest struct {
	cloud  *Cloud
	zone   scw.Zone
	server string
	action instance.ServerAction

	accepted bool
	refusals
}

func (a *actionRequest) send(ctx context.Context, s *instance.Server) error {
	if a.accepted || !slices.Contains(s.AllowedActions, a.action) {
		return nil
	}
	_, err := a.cloud.instance.ServerAction(&instance.ServerActionRequest{Zone: a.zone, ServerID: a.server, Action: a.action}, scw.WithContext(ctx))
	if err == nil {
		a.accepted = true
		return nil
	}
	return a.count(ctx, err)
}

// refusals counts how often a server refused a request that its observed state
// allows. Another run may have changed the state in between, so the server is
// observed again.
type refusals int

// count counts an error. It returns the error when there have been too many, or
// the context has ended.
func (r *refusals) count(ctx context.Context, err error) error {
	const most = 3
	if err == nil {
		return nil
	}
	*r++
	if ctx.Err() != nil || *r == most {
		return err
	}
	return nil
}
