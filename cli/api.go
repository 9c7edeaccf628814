package cli

import (
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway/api"
)

func (c *cli) apiCommand() *cobra.Command {
	openapi := &cobra.Command{
		Use:   "openapi",
		Short: "Print the OpenAPI document of the API",
		Long: long("Prints the OpenAPI 3.1 document that this version of Fairway serves at /api/v1/openapi.json: every address, parameter, body and answer of the API. No server is asked.",
			"you generate a client, or want to know what a field means.",
			"nothing can; where client and server are of different versions, ask the server for its own document."),
		Example: example("fairway api openapi", "fairway api openapi > fairway.json"),
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			_, err := c.Stdout.Write(api.OpenAPI())
			return err
		},
	}
	return group("api", "What programs can ask of Fairway",
		long("Tells of the API under /api/v1/ that this command line and the console use.",
			"you write a program that works with Fairway.",
			"`fairway get status` says where the server listens."),
		example("fairway api openapi"), openapi)
}
