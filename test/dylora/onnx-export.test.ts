/** Import of ONNX exports: the same base as from the checkpoint, and what is not known is refused by name. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import t from 'tap'
import { importCheckpoint } from '../../src/dylora/import.ts'
import { type GraphProto, ModelProtoSchema, NodeProtoSchema, TensorProtoSchema } from '../../src/onnx/proto/onnx_pb.ts'
import { fixturePath } from '../fixtures/golden.ts'

/** The checkpoint's directory with an export in place of its weights. */
function exported(t: { testdir(): string }, by: 'traced' | 'dynamo'): string {
  const directory = join(t.testdir(), 'checkpoint')
  cpSync(fixturePath('gpt2-untied'), directory, { recursive: true })
  rmSync(join(directory, 'model.safetensors'))
  cpSync(fixturePath(`onnx-export/${by}`), directory, { recursive: true })
  return directory
}

function edit(directory: string, change: (graph: GraphProto) => void): void {
  const path = join(directory, 'model.onnx')
  const model = fromBinary(ModelProtoSchema, readFileSync(path))
  if (model.graph) change(model.graph)
  writeFileSync(path, toBinary(ModelProtoSchema, model))
}

for (const by of ['traced', 'dynamo'] as const) {
  t.test(`an export by the ${by} exporter is the same base as its checkpoint`, async (t) => {
    const directory = exported(t, by)
    const { base: expected } = await importCheckpoint(fixturePath('gpt2-untied'), join(directory, '../expected'))
    const { base } = await importCheckpoint(directory, join(directory, '../base'))
    t.equal(base.digest, expected.digest)
    t.strictSame(base.config, expected.config)
  })
}

t.test(
  'an export in the folder onnx, with its weights in the numbers of its messages, is found and read',
  async (t) => {
    const directory = exported(t, 'traced')
    edit(directory, ({ initializer }) => {
      for (const tensor of initializer.filter(({ dataType }) => dataType === 1)) {
        tensor.floatData = [...new Float32Array(new Uint8Array(tensor.rawData).buffer)]
        tensor.rawData = new Uint8Array()
      }
    })
    mkdirSync(join(directory, 'onnx'))
    renameSync(join(directory, 'model.onnx'), join(directory, 'onnx/decoder_model.onnx'))
    const { base } = await importCheckpoint(directory, join(directory, '../base'))
    t.equal(
      base.digest,
      (await importCheckpoint(fixturePath('gpt2-untied'), join(directory, '../expected'))).base.digest,
    )
  },
)

const refusals: Readonly<
  Record<string, { by: 'traced' | 'dynamo'; break: (directory: string) => void; reason: RegExp }>
> = {
  'a file of another kind': {
    by: 'traced',
    break: (directory) => writeFileSync(join(directory, 'model.onnx'), 'no model'),
    reason: /model\.onnx: expected an ONNX model/,
  },
  'an export that was optimised': {
    by: 'traced',
    break: (directory) =>
      edit(directory, (graph) => {
        graph.node.push(create(NodeProtoSchema, { opType: 'FusedMatMul', domain: 'com.microsoft' }))
      }),
    reason: /it has the op com\.microsoft\.FusedMatMul: expected an export that was not optimised/,
  },
  'an export that was quantised': {
    by: 'traced',
    break: (directory) =>
      edit(directory, (graph) => {
        graph.node.push(create(NodeProtoSchema, { opType: 'DynamicQuantizeLinear' }))
      }),
    reason: /it has the op DynamicQuantizeLinear: expected an export that was not quantised/,
  },
  'a weight of which nothing tells the parameter': {
    by: 'traced',
    break: (directory) =>
      edit(directory, (graph) => {
        const rawData = new Uint8Array(16)
        graph.initializer.push(create(TensorProtoSchema, { name: 'onnx::Add_7', dims: [2n, 2n], dataType: 1, rawData }))
      }),
    reason: /nothing tells which parameter initializer 'onnx::Add_7' \[2,2\] is/,
  },
  'another model': {
    by: 'traced',
    break: (directory) =>
      edit(directory, ({ initializer }) => {
        for (const tensor of initializer) tensor.name = tensor.name.replace('attn.c_attn', 'attn.q_proj')
      }),
    reason: /tensor 'h\.0\.attn\.c_attn\.weight' is missing/,
  },
  'a size that is not that of the shape': {
    by: 'traced',
    break: (directory) =>
      edit(directory, ({ initializer }) => {
        const tensor = initializer.find(({ name }) => name.endsWith('wpe.weight'))
        if (tensor) tensor.rawData = tensor.rawData.slice(4)
      }),
    reason: /initializer 'transformer\.wpe\.weight': expected 6144 bytes for \[64,24\], got 6140/,
  },
  'weights outside the directory': {
    by: 'dynamo',
    break: (directory) =>
      edit(directory, ({ initializer }) => {
        for (const fact of initializer.flatMap(({ externalData }) => externalData)) {
          if (fact.key === 'location') fact.value = '../../etc/passwd'
        }
      }),
    reason: /expected a file beside the model, got '\.\.\/\.\.\/etc\/passwd'/,
  },
  'a file of weights that is not there': {
    by: 'dynamo',
    break: (directory) => rmSync(join(directory, 'model.onnx.data')),
    reason: /model\.onnx\.data, which is not there/,
  },
  'a file of weights that is cut off': {
    by: 'dynamo',
    break: (directory) => truncateSync(join(directory, 'model.onnx.data'), 50_000),
    reason: /expected bytes within 50000 of model\.onnx\.data, got \d+ \+ \d+/,
  },
}

for (const [what, { by, break: damage, reason }] of Object.entries(refusals)) {
  t.test(`${what} is refused by name`, async (t) => {
    const directory = exported(t, by)
    damage(directory)
    await t.rejects(importCheckpoint(directory, join(directory, '../base')), {
      code: 'checkpoint_invalid',
      message: reason,
    })
  })
}
