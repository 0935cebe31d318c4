"""asyncio tools without a domain: what every layer that waits is built of."""
