package scaleway

import (
	"bytes"
	"context"
	"io"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"
	"golang.org/x/sync/errgroup"

	"egress.scw/bootstrap/stack"
)

func userDataRow() operations {
	return row[*stack.UserData]{
		kind: stack.KindUserData, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).setUserData,
		update: func(c *Cloud, ctx context.Context, r *stack.UserData, _ []stack.Change, report func(string)) error {
			return c.setUserData(ctx, r, report)
		},
	}.untyped()
}

func (c *Cloud) setUserData(ctx context.Context, r *stack.UserData, _ func(string)) error {
	value, err := r.Render()
	if err != nil {
		return err
	}
	r.ID = r.Server.ID
	return c.instance.SetServerUserData(&instance.SetServerUserDataRequest{
		Zone: scw.Zone(r.Server.Zone), ServerID: r.Server.ID, Key: r.DataKey, Content: bytes.NewReader(value),
	}, scw.WithContext(ctx))
}

// userData adds the user data of a server.
func (o *observation) userData(ctx context.Context, server *stack.Server) error {
	keys := stack.UserDataKeys()
	values := make([][]byte, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	for i, key := range keys {
		group.Go(func() (err error) {
			values[i], err = o.cloud.getUserData(ctx, server, key)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, key := range keys {
		if values[i] != nil {
			o.add(server.ObserveUserData(key, values[i]))
		}
	}
	return nil
}

// getUserData reads a value of a server. It returns nil if there is none.
func (c *Cloud) getUserData(ctx context.Context, server *stack.Server, key string) ([]byte, error) {
	content, err := c.instance.GetServerUserData(&instance.GetServerUserDataRequest{
		Zone: scw.Zone(server.Zone), ServerID: server.ID, Key: key,
	}, scw.WithContext(ctx))
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return io.ReadAll(content)
}

// MachineStatus implements stack.Cloud.
func (c *Cloud) MachineStatus(ctx context.Context, server *stack.Server) ([]byte, error) {
	value, err := c.getUserData(ctx, server, stack.UserDataStatus)
	if err != nil {
		return nil, c.explain(ctx, err, server)
	}
	return value, nil
}
