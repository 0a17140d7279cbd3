package amqp1

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A client of Azure's SDK does not wait for the goroutine that would renew
	// its claim.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal.(*Namespace).startNegotiateClaimRenewer.func3"),
		goleak.IgnoreAnyFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/internal.(*Namespace).startNegotiateClaimRenewer.func3"),
	)
}
