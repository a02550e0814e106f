// Who may import whom, lowest first. One table; the rules below only read it.
const layers = {
  onnx: [],
  dylora: ['onnx'],
  inference: ['onnx', 'dylora'],
  training: ['onnx', 'dylora'],
  evaluation: ['onnx', 'dylora'],
  jobs: ['onnx', 'dylora', 'inference', 'training', 'evaluation'],
  server: ['onnx', 'dylora', 'inference', 'training', 'evaluation', 'jobs'],
  // Speaks to the server over HTTP alone.
  page: [],
  cli: ['onnx', 'dylora', 'inference', 'training', 'evaluation', 'jobs', 'server'],
}

/** Only these folders may import these packages. */
const doors = [
  { name: 'only-onnx-speaks-to-the-runtime', folder: 'onnx', packages: 'onnxruntime-(node|common)|koffi|@bufbuild' },
  { name: 'only-dylora-fetches-models', folder: 'dylora', packages: '@aws-sdk|@huggingface/hub' },
  { name: 'only-jobs-speaks-to-the-queue', folder: 'jobs', packages: 'pg|pg-boss|@electric-sql' },
  { name: 'only-server-speaks-http', folder: 'server', packages: '@?fastify|prom-client' },
  { name: 'only-page-speaks-to-the-browser', folder: 'page', packages: 'preact|uplot|vite' },
]

export default {
  forbidden: [
    ...Object.entries(layers).map(([folder, mayImport]) => ({
      name: `${folder}-imports-only-${['itself', ...mayImport].join('-')}`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^src/[^/]+/', pathNot: `^src/(${[folder, ...mayImport].join('|')})/` },
    })),
    ...doors.map(({ name, folder, packages }) => ({
      name,
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/${folder}/` },
      to: { path: `node_modules/(${packages})` },
    })),
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'only-cli-reads-config',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/config' },
    },
    { name: 'src-stands-alone', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|models)/' } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
}
