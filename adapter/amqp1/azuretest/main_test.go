// Package azuretest proves the AMQP adapter by Azure's own SDKs for Event Hubs
// and Service Bus, which are not changed in any way: what they see here is to
// be what they see of Azure. It has only tests.
package azuretest

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A client of the SDKs does not wait for the goroutines that would renew its
	// claims.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/internal.(*Namespace).startNegotiateClaimRenewer.func3"),
		goleak.IgnoreAnyFunction("github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/internal.(*Namespace).startNegotiateClaimRenewer.func3"),
	)
}
