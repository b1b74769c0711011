-- A provider's ServiceRequests in the order of a page.
CREATE INDEX task_by_provider_request ON task (provider, request);
