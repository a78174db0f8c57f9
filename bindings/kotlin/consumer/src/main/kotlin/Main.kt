import kotlinx.coroutines.flow.first
import org.donp.Event
import org.donp.NodeConfig
import org.donp.openNode

suspend fun main() {
    openNode(NodeConfig(name = "alice", listen = listOf("127.0.0.1:0"))).use { alice ->
        openNode(NodeConfig(name = "bob", listen = listOf("127.0.0.1:0"))).use { bob ->
            val events = bob.events()
            bob.join(alice.localAddresses.single())
            events.first { it is Event.PeerUp }
            alice.broadcast("hello")
            val received = events.first { it is Event.Received } as Event.Received
            println("bob received: ${received.message.text}")
        }
    }
}
