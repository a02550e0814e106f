/** The store of adapters that the settings name. */
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { AdapterStore } from '../dylora/store/adapter-store.ts'
import { openStore } from '../dylora/store/open-store.ts'

type Settings = Pick<
  Config,
  'ADAPTERS_DIR' | 'ADAPTER_PINS' | 'ADAPTER_KEEP_VERSIONS' | 'S3_ENDPOINT' | 'S3_REGION' | 'CACHE_DIR'
>

/** @throws configuration_invalid */
export const adapterStore = (settings: Settings): Promise<AdapterStore> =>
  openStore(settings.ADAPTERS_DIR, {
    endpoint: settings.S3_ENDPOINT,
    region: settings.S3_REGION,
    keptVersions: settings.ADAPTER_KEEP_VERSIONS,
    pinned: [...(settings.ADAPTER_PINS?.values() ?? [])],
    cacheDirectory: join(settings.CACHE_DIR, 'adapters'),
  })
