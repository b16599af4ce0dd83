package main

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/app"
)

type keyCommand struct {
	Ring keyRing `cmd:"" help:"The master ring, under which everything secret is sealed."`
}

type keyRing struct {
	Init   ringInit   `cmd:"" help:"Create a ring file with one key."`
	Add    ringAdd    `cmd:"" help:"Add a key, which seals once rewrap has run."`
	Rewrap ringRewrap `cmd:"" help:"Seal again, under the newest key, what older keys sealed."`
	Drop   ringDrop   `cmd:"" help:"Remove a key that nothing needs any more."`
}

type ringInit struct {
	File string `arg:"" help:"File to create."`
}

func (s *ringInit) Run(c *app.Console) error { return app.RingInit(c, s.File) }

type ringAdd struct {
	File string `arg:"" help:"Ring file."`
}

func (s *ringAdd) Run(c *app.Console) error { return app.RingAdd(c, s.File) }

type ringRewrap struct{ configFlag }

func (s *ringRewrap) Run(ctx context.Context, c *app.Console) error {
	return app.RingRewrap(ctx, c, s.Config)
}

type ringDrop struct {
	configFlag
	ID string `arg:"" help:"Id of the key, as key ring add printed it."`
}

func (s *ringDrop) Run(ctx context.Context, c *app.Console) error {
	return app.RingDrop(ctx, c, s.Config, s.ID)
}
