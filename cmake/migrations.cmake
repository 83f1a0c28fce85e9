# Writes OUTPUT, a C file with the texts of FOLDER/NNNN_name.sql in the order of their numbers, which
# must be 1, 2, 3 ... without a gap: src/store/db/migration.h says what is done with them.
file(GLOB files "${FOLDER}/*.sql")
list(SORT files)
set(texts "")
set(table "")
set(number 0)
foreach(file IN LISTS files)
  math(EXPR number "${number} + 1")
  get_filename_component(name "${file}" NAME_WE)
  string(REGEX MATCH "^[0-9]+" digits "${name}")
  if(NOT digits EQUAL number OR NOT name MATCHES "^[0-9][0-9][0-9][0-9]_[a-z_]+$")
    message(FATAL_ERROR "${name}.sql: expected number ${number}, as NNNN_name.sql")
  endif()
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " hex "${hex}")
  string(APPEND texts "static const char text_${number}[] = {\n    ${hex}0\n};\n")
  string(APPEND table "    { \"${name}\", text_${number} },\n")
endforeach()
file(WRITE "${OUTPUT}" "#include \"store/db/migration.h\"\n\n${texts}\n"
  "const struct migration migrations[] = {\n${table}};\n"
  "const int migration_count = ${number};\n")
