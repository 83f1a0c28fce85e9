# `cmake --install BUILD [--prefix DIR]`: the program, the default model, man page, completions, the service's
# unit, licences and documentation. The program finds its model from its own place (src/app/config), so that
# the tree can be moved, or staged with DESTDIR.
include(GNUInstallDirs)
set(tranche_share "${CMAKE_INSTALL_DATADIR}/tranche")
set(made "${CMAKE_BINARY_DIR}/install")

install(TARGETS tranche RUNTIME)
file(GLOB models "${TRANCHE_MODELS}/*.gguf")
install(FILES ${models} DESTINATION "${tranche_share}/models")
if(EXISTS "${TRANCHE_DUCKDB}") # the program looks for it there first
  install(FILES "${TRANCHE_DUCKDB}" DESTINATION lib/tranche)
endif()

# The program writes its own man page and completions, and the unit names the prefix, which is known only now.
install(CODE "
  file(MAKE_DIRECTORY \"${made}\")
  foreach(text \"man:tranche.1\" \"completion bash:tranche.bash\" \"completion zsh:_tranche\"
                \"completion fish:tranche.fish\")
    string(REGEX MATCH \"^(.*):(.*)$\" all \"\${text}\")
    string(REPLACE \" \" \";\" arguments \"\${CMAKE_MATCH_1}\")
    execute_process(COMMAND \"$<TARGET_FILE:tranche>\" \${arguments}
                    OUTPUT_FILE \"${made}/\${CMAKE_MATCH_2}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  set(BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  configure_file(\"${CMAKE_SOURCE_DIR}/packages/systemd/tranche.service.in\" \"${made}/tranche.service\"
                 @ONLY)
")
install(FILES "${made}/tranche.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${made}/tranche.bash" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
        RENAME tranche)
install(FILES "${made}/_tranche" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${made}/tranche.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
install(FILES "${made}/tranche.service" DESTINATION lib/systemd/system)
install(FILES packages/systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME tranche.conf)
install(FILES packages/systemd/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME tranche.conf)

install(FILES README.md CHANGELOG.md LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY docs examples DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES /usr/share/doc/libmicrohttpd-dev/copyright DESTINATION "${CMAKE_INSTALL_DOCDIR}/licenses"
        RENAME libmicrohttpd OPTIONAL)
if(TRANCHE_DEPS AND EXISTS "${TRANCHE_DEPS}/licenses")
  install(DIRECTORY "${TRANCHE_DEPS}/licenses" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
